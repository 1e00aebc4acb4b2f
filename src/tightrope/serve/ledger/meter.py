"""What a pool's machines cost, split exactly between the uses that ran on them and the time that none did.

``G(t)`` is the integral of machines over ``max(capacity, weight in use)``: the machine time that a use of weight 1 has taken since the
meter began. A use takes ``weight x (G(end) - G(begin))``, so that each event costs the same however many others run. While the uses
fill less than the capacity the rest is idle, nobody's; above it they share what there is. All of it is in whole numbers: machine time in
millionths of a machine times nanoseconds, weights in 2**-20, ``G`` to 2**-44, money in whole nano-dollars, so that
``ended + in progress + idle = paid`` holds to the nano-dollar at every instant.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from tightrope.serve.records import NUSD_PER_USD

MACHINE = 1_000_000
"""Parts of a machine that are told apart."""
SECOND = 1_000_000_000
"""Nanoseconds."""
_WEIGHT = 2**20
_FINE = 2**44
MACHINE_HOUR = MACHINE * 3600 * SECOND
"""Machine time, as counted here, of one machine for an hour."""


class MachineUse:
    """Something that runs on the machines, from ``MachineMeter.begin`` to ``MachineMeter.end``."""

    __slots__ = ("began", "machine_s", "weight")

    def __init__(self, weight: int, began: int) -> None:
        """Note what ``G`` was when it began."""
        self.weight, self.began = weight, began
        self.machine_s = 0.0
        """Machine time that it took, in seconds of one machine, once it has ended; known even where the price is not."""


@dataclass(frozen=True, slots=True)
class MeterReading:
    """All that a meter has counted since it began; amounts are None where the price is not known."""

    at_ns: int
    """Up to when, by the meter's clock."""
    machines: int
    """In millionths of a machine, how many there have been since the last ``resize``."""
    machine_time: int
    """In millionths of a machine times nanoseconds: ``MACHINE * SECOND`` is one machine for a second."""
    used_time: int
    """What uses took of that, ended or not."""
    paid_nusd: int | None
    ended_nusd: int | None
    """The sum of what ``end`` has returned."""
    used_nusd: int | None
    """Ended and in progress; the rest of ``paid_nusd`` was idle."""


def nobody(reading: MeterReading) -> None:
    """Tell nobody."""


class MachineMeter:
    """Splits the price of a pool's machines over the uses of them; may be called from any thread.

    Times are those of ``clock``, in seconds. Where one is earlier than another thread has already told, it counts as that one.
    """

    def __init__(
        self,
        usd_per_hour: float | None,
        capacity: float,
        clock: Callable[[], float] = time.monotonic,
        machines: float = 1.0,
    ) -> None:
        """Begin to count ``machines`` at this price each, which together bear uses of the weight ``capacity``; None is not known."""
        self.clock = clock
        self.price_nusd = None if usd_per_hour is None else round(usd_per_hour * NUSD_PER_USD)
        """Of one machine for an hour."""
        self.on_resize: Callable[[MeterReading], None] = nobody
        """Told what was counted up to a ``resize``, of one number of machines, and then that there is another."""
        self._lock = Lock()
        self._now = int(clock() * SECOND)
        self._machines, self._capacity = round(machines * MACHINE), round(capacity * _WEIGHT)
        self._paid = self._g = self._active = self._ended = self._told = 0
        self._offset = 0  # of all uses in progress: weight x G when it began

    def begin(self, now_s: float, weight: float = 1.0) -> MachineUse:
        """Return a use of this weight that begins now."""
        with self._lock:
            self._advance(now_s)
            use = MachineUse(round(weight * _WEIGHT), self._g)
            self._active += use.weight
            self._offset += use.weight * use.began
        return use

    def end(self, use: MachineUse, now_s: float) -> int | None:
        """Return what the use cost in nano-dollars, None where the price is not known; call it once for each use."""
        with self._lock:
            self._advance(now_s)
            taken = use.weight * (self._g - use.began)
            self._active -= use.weight
            self._offset -= use.weight * use.began
            self._ended += taken
            use.machine_s = taken / (_FINE * MACHINE * SECOND)
            if self.price_nusd is None:
                return None
            told = self._told
            self._told = self.price_nusd * self._ended // (_FINE * MACHINE_HOUR)
            return self._told - told  # fractions are carried over, so that the sum is never more than one nano-dollar off

    def resize(self, now_s: float, machines: float, capacity: float) -> None:
        """From now on there are so many machines, which together bear uses of the weight ``capacity``."""
        with self._lock:
            self._advance(now_s)
            before = self._reading()
            self._machines, self._capacity = round(machines * MACHINE), round(capacity * _WEIGHT)
            after = self._reading()
        if before.machines != after.machines:
            self.on_resize(before)
            self.on_resize(after)

    def read(self, now_s: float) -> MeterReading:
        """Return all that has been counted up to now, of one instant."""
        with self._lock:
            self._advance(now_s)
            return self._reading()

    def paid_nusd(self, now_s: float) -> int | None:
        """Return what the machines have cost up to now."""
        return self.read(now_s).paid_nusd

    def used_nusd(self, now_s: float | None = None) -> int | None:
        """Return what uses have taken of it up to now, ended or not."""
        return self.read(self.clock() if now_s is None else now_s).used_nusd

    def _reading(self) -> MeterReading:
        """Return what has been counted up to the last event."""
        used = self._ended + self._active * self._g - self._offset
        price = self.price_nusd
        return MeterReading(
            at_ns=self._now,
            machines=self._machines,
            machine_time=self._paid,
            used_time=used // _FINE,
            paid_nusd=None if price is None else price * self._paid // MACHINE_HOUR,
            ended_nusd=None if price is None else self._told,
            used_nusd=None if price is None else price * used // (_FINE * MACHINE_HOUR),
        )

    def _advance(self, now_s: float) -> None:
        """Count the time since the last event, in which nothing changed."""
        now = int(now_s * SECOND)
        passed = now - self._now
        if passed <= 0:
            return
        self._now = now
        machine_time = self._machines * passed
        self._paid += machine_time
        if self._active:
            self._g += machine_time * _FINE // max(self._capacity, self._active)
