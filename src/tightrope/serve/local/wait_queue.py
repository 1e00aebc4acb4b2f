"""What waits at one pool: by priority, tenants in turn, each in the order it came; deferrable work apart, by its deadline."""

import asyncio
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest
from typing import Any, TypeAlias

from tightrope.serve.records import Call, Reply


class CallTicket:
    """One call while it is answered, in one item or several, which may go in different batches."""

    __slots__ = ("_left", "call", "ended", "future", "given_up", "items", "parts", "reply", "unbegun", "waits")

    def __init__(self, call: Call, future: "asyncio.Future[Reply]", reply: Reply) -> None:
        """Begin with nothing answered; ``future`` gets the ``reply`` when it is complete, or the refusal."""
        self.call, self.future, self.reply = call, future, reply
        self.items: Sequence[WorkItem] = ()
        self.parts: list[Any] = []
        """Answer of each item."""
        self._left = self.unbegun = 0
        """Items that are not answered, and those of them that wait."""
        self.waits, self.ended, self.given_up = True, False, False

    def enter(self, items: "Sequence[WorkItem]") -> None:
        """Note what there is to answer."""
        self.items, self.parts = items, [None] * len(items)
        self._left = self.unbegun = len(items)
        if len(items) > 1 and self.call.task != "infer":
            self.reply.item_tokens = tuple([item.tokens for item in items])

    def charge(self, nusd: int | None, machine_s: float) -> None:
        """Take one item's share of a batch, whether it is answered or not."""
        reply = self.reply
        reply.compute_nusd = None if nusd is None or reply.compute_nusd is None else reply.compute_nusd + nusd
        reply.machine_s += machine_s

    def answered(self, item: "WorkItem", part: Any) -> bool:  # noqa: ANN401 - an array, or arrays by name
        """Take the answer of one item; return whether it was the last."""
        self.parts[item.index] = part
        self._left -= 1
        self.reply.input_tokens += item.tokens
        return self._left == 0 and not self.ended

    def give_up(self) -> None:
        """Note on the call what it cost so far: it gets no answer."""
        self.given_up = True
        if self.reply.compute_nusd != 0:
            self.call.lost.append(self.reply)


class WorkItem:
    """One text, or one row of tensors, that is answered in one batch."""

    __slots__ = ("due_s", "entered_s", "group", "index", "length", "level", "payload", "tenant", "ticket", "tokens")

    def __init__(self, ticket: CallTicket, index: int, payload: Any, length: int, group: int, tokens: int) -> None:  # noqa: ANN401
        """Note what is asked; the queue says when."""
        self.ticket, self.index, self.payload = ticket, index, payload
        self.length, self.group, self.tokens = length, group, tokens
        """What a batch is padded to, which items may go together, tokens of a text (0 of tensors)."""
        self.entered_s = self.due_s = 0.0
        """When it entered the queue, and when it is to be answered by: infinite where no time was promised."""
        self.level = 0
        self.tenant = ""


Line: TypeAlias = "OrderedDict[WorkItem, None]"
"""What waits of one tenant, in the order it came."""


class WaitQueue:
    """The queue of one pool; tenants take turns, whatever each has there. Every method costs as much as it moves, however many wait."""

    def __init__(self, levels: int) -> None:
        """Begin empty; level 0 goes first."""
        self.levels: tuple[OrderedDict[str, Line], ...] = tuple(OrderedDict() for _ in range(levels))
        """Of each level tenant → what waits, whose turn it is first; none is empty."""
        self.interactive = 0
        self._deferrable: list[tuple[float, int, WorkItem]] = []
        self._number = 0
        self._places: dict[WorkItem, tuple[float, int, WorkItem]] = {}

    def __len__(self) -> int:
        """Return how many items wait."""
        return self.interactive + len(self._deferrable)

    @property
    def deferrable(self) -> int:
        """Items that can wait."""
        return len(self._deferrable)

    def push(self, items: Iterable[WorkItem], deadline_s: float | None) -> None:
        """Append items; those with a deadline can wait."""
        for item in items:
            if deadline_s is None:
                level, tenant = self.levels[item.level], item.tenant
                line = level.get(tenant)
                if line is None:
                    line = level[tenant] = OrderedDict()
                line[item] = None
                self.interactive += 1
            else:
                self._number += 1
                self._places[item] = (deadline_s, self._number, item)
                insort(self._deferrable, self._places[item])

    def first(self) -> WorkItem | None:
        """Return the interactive item that goes first."""
        for level in self.levels:
            for line in level.values():
                return next(iter(line))
        return None

    def window(self, most: int) -> list[WorkItem]:
        """Return the first interactive items, in the order they go."""
        return list(islice(chain.from_iterable(_in_turn(level, most) for level in self.levels), most))

    def window_deferrable(self, most: int) -> list[WorkItem]:
        """Return the items that can wait whose deadlines come first."""
        return [item for _, _, item in self._deferrable[:most]]

    def remove(self, item: WorkItem) -> bool:
        """Take an item out, after which it is the others' turn; return whether it was there."""
        level, tenant = self.levels[item.level], item.tenant
        line = level.get(tenant)
        if line is not None and item in line:
            del line[item]
            if not line:
                del level[tenant]
            elif len(level) > 1:
                level.move_to_end(tenant)
            self.interactive -= 1
            return True
        place = self._places.pop(item, None)
        if place is not None:
            del self._deferrable[bisect_left(self._deferrable, place)]
        return place is not None

    def everything(self) -> list[WorkItem]:
        """Return all that waits."""
        lines = (line for level in self.levels for line in level.values())
        return [*chain.from_iterable(lines), *self._places]


def _in_turn(level: "OrderedDict[str, Line]", most: int) -> Iterable[WorkItem]:
    """Return items of a level in the order they go, at least ``most`` where there are so many: one of each tenant, then another of each."""
    if len(level) == 1:
        return next(iter(level.values()))
    rounds = zip_longest(*islice(level.values(), most))
    return (item for one_of_each in rounds for item in one_of_each if item is not None)
