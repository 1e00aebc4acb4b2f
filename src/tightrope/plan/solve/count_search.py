"""The compiled walk over numbers of machines that ``search`` proves a block with."""

from tightrope.base.records import FloatArray, IntArray
from tightrope.replay.compiled import entry, jit

DONE, ARRIVED, PAUSED = 1, 0, -1


@entry
def fill_tables(
    fits: FloatArray, density: FloatArray, usd_per_machine: FloatArray, carries: FloatArray, rest: FloatArray, table: FloatArray
) -> None:
    """Fill ``table`` (float64[I, P, N + 1]) with what n machines of an option cost, less what the best load for them is worth.

    ``fits`` float64[C, P] is the load of each class that may be there, ``density`` float64[I, C, P] what a unit of it is worth at the
    prices I, ``usd_per_machine`` float64[I, P], ``carries`` float64[P, N + 1]: a fractional knapsack. ``rest`` float64[C] is room to
    work in.
    """
    classes = fits.shape[0]
    for i in range(table.shape[0]):
        for p in range(table.shape[1]):
            for n in range(table.shape[2]):
                table[i, p, n] = usd_per_machine[i, p] * n
            for c in range(classes):
                rest[c] = density[i, c, p]
            before = 0.0
            for _ in range(classes):
                c = 0
                for other in range(1, classes):
                    if rest[other] > rest[c]:
                        c = other
                if rest[c] <= 0.0:
                    break
                load, worth = fits[c, p], rest[c]
                rest[c] = 0.0
                for n in range(table.shape[2]):
                    table[i, p, n] -= worth * min(max(carries[p, n] - before, 0.0), load)
                before += load


@jit
def _lay_out(
    constant: FloatArray,
    table: FloatArray,
    options: IntArray,
    values: IntArray,
    counts: IntArray,
    rest: FloatArray,
    reached: FloatArray,
) -> None:
    """Fill ``rest`` with what the options from each level on cost at least, and the start of ``reached``."""
    levels = len(options)
    for i in range(table.shape[0]):
        rest[levels, i] = 0.0
        reached[0, i] = constant[i]
        for at in range(levels - 1, -1, -1):
            lowest = table[i, options[at], values[at, 0]]
            for j in range(1, counts[at]):
                lowest = min(lowest, table[i, options[at], values[at, j]])
            rest[at, i] = rest[at + 1, i] + lowest


@jit
def _step(table: FloatArray, at: int, option: int, number: int, reached: FloatArray) -> None:
    """Fix one option's number."""
    for i in range(table.shape[0]):
        reached[at + 1, i] = reached[at, i] + table[i, option, number]


@jit
def _find_dear(
    table: FloatArray, at: int, option: int, number: int, least: float, rest: FloatArray, reached: FloatArray, first: int
) -> int:
    """Return which prices show that a branch costs ``least`` or more, those that did so last being asked first; -1 where none do."""
    prices = table.shape[0]
    for k in range(prices):
        i = first + k if first + k < prices else first + k - prices
        if reached[at, i] + table[i, option, number] + rest[at + 1, i] >= least:
            return i
    return -1


@entry
def walk(
    constant: FloatArray,
    table: FloatArray,
    options: IntArray,
    values: IntArray,
    counts: IntArray,
    least: float,
    most_steps: int,
    position: IntArray,
    level: IntArray,
    rest: FloatArray,
    reached: FloatArray,
) -> tuple[int, int]:
    """Walk on over all numbers of machines, L options deep, to the next fleet that no price shows to cost ``least`` or more.

    ``constant`` float64[I], ``table`` float64[I, P, N + 1]; ``options`` int64[L] are walked, in ``values`` int64[L, N + 1], of which
    ``counts`` int64[L] are in use. ``position``
    int64[L] and ``level`` int64[2] hold where it stands, also for the next call; ``level[1]`` is the first level that moved in this
    one. ``rest`` and ``reached`` float64[L + 1, I] are room to work in. Returns the status and the steps taken.
    """
    levels = len(options)
    _lay_out(constant, table, options, values, counts, rest, reached)
    here = level[0]
    for at in range(here):
        _step(table, at, options[at], values[at, position[at]], reached)
    steps, first = 0, 0
    level[1] = levels
    while here >= 0:
        if steps >= most_steps:
            level[0] = here
            return PAUSED, steps
        position[here] += 1
        level[1] = min(level[1], here)
        if position[here] >= counts[here]:
            here -= 1
            continue
        steps += 1
        number = values[here, position[here]]
        dear = _find_dear(table, here, options[here], number, least, rest, reached, first)
        if dear >= 0:
            first = dear
        elif here == levels - 1:
            level[0] = here
            return ARRIVED, steps
        else:
            _step(table, here, options[here], number, reached)
            here += 1
            position[here] = -1
    return DONE, steps


@entry
def next_fleet(constant: FloatArray, table: FloatArray, fleets: IntArray, usd: FloatArray, order: IntArray, start: int) -> int:
    """Return the place in ``order`` (int64[F], from ``start`` on) of the next fleet that no price shows to be impossible at its cost.

    ``constant`` float64[I] and ``table`` float64[I, P, N + 1] are those of a block, ``fleets`` int64[F, P] with their costs ``usd``
    float64[F]. One past the last where there is none.
    """
    for at in range(start, len(order)):
        fleet, possible = order[at], True
        for i in range(len(constant)):
            least = constant[i]
            for p in range(fleets.shape[1]):
                least += table[i, p, fleets[fleet, p]]
            if least > usd[fleet] * (1.0 + 1e-9) + 1e-9:
                possible = False
                break
        if possible:
            return at
    return len(order)
