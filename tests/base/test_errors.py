"""The error tree: the drawn tree is the real one, messages are complete, errors can be pickled, near names are near."""

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base import errors
from tightrope.base.errors import (
    InputError,
    TightropeError,
    TraceError,
    UnknownNameError,
    Where,
    build_unknown_name_error,
    find_near_names,
)

DRAWN = re.compile(r"^(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w*Error)\s+(?:exit (?P<exit>\d+))?")


def drawn_tree() -> dict[str, tuple[str, int]]:
    """Return error name → (parent, exit code) as the module's docstring draws it; a branch without a code has its parent's."""
    tree: dict[str, tuple[str, int]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := DRAWN.match(line):
            depth = len(match["branches"]) // 4
            path = [*path[:depth], match["name"]]
            parent = path[-2] if depth else "Exception"
            code = int(match["exit"]) if match["exit"] else tree.get(parent, ("", TightropeError.exit_code))[1]
            tree[match["name"]] = (parent, code)
    return tree


def classes() -> list[type[TightropeError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, TightropeError)]
    assert len(found) > 5
    return found


def test_the_drawn_tree_is_the_real_tree() -> None:
    assert drawn_tree() == {kind.__name__: (kind.__mro__[1].__name__, kind.exit_code) for kind in classes()}


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("where", [None, Where("trace.csv"), Where(Path("a/workload.yaml"), 7)], ids=str)
def test_every_error_can_be_pickled(kind: type[TightropeError], where: Where | None) -> None:
    error = kind("got 3, expected 4", resolve="set it to 4", where=where)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert (str(again), again.what, again.resolve, again.where) == (str(error), error.what, error.resolve, where)


def test_a_message_states_place_problem_and_remedy() -> None:
    error = InputError("rate is -1, expected at least 0", resolve="mend the row", where=Where("rates.csv", 12))
    assert str(error) == "rates.csv:12: rate is -1, expected at least 0\nResolve: mend the row"
    assert str(InputError("no traffic", resolve="add a class")) == "no traffic\nResolve: add a class"


def test_a_missing_machine_size_suggests_the_smallest_real_one() -> None:
    known = ["c6i.large", "g4dn.12xlarge", "g4dn.2xlarge", "g4dn.xlarge", "g5.xlarge", "g6f.large", "p5.48xlarge"]
    assert find_near_names("g4dn.large", known)[0] == "g4dn.xlarge"
    error = build_unknown_name_error("g4dn.large", kind="machine", known=known, where=Where("w.yaml", 3))
    assert isinstance(error, UnknownNameError)
    assert str(error).startswith("w.yaml:3: unknown machine 'g4dn.large'\nResolve: use g4dn.xlarge")


def test_a_name_without_near_names_lists_the_known_ones() -> None:
    error = build_unknown_name_error("zzz", kind="offer", known=[f"offer-{n:02}" for n in range(20)])
    assert error.resolve.startswith("use one of: offer-00, offer-01, ")
    assert error.resolve.endswith("offer-11 …")


@given(st.lists(st.text(min_size=1, max_size=12), max_size=20, unique=True), st.integers(min_value=1, max_value=5))
def test_near_names_are_known_names(known: list[str], count: int) -> None:
    for name in known:
        near = find_near_names(name, known, count)
        assert near[0] == name
        assert len(near) <= count
        assert set(near) <= set(known)


def test_a_trace_error_exits_as_bad_input() -> None:
    assert TraceError("x", resolve="y").exit_code == 2
