"""A replay as the command line asks for it: texts in, checked before anything runs; the report out."""

from dataclasses import dataclass

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.clouds.book import PriceBook
from tightrope.plan.fleet.recorded_traffic import load_traffic, parse_columns, parse_trace
from tightrope.plan.fleet.scenarios import parse_scenarios
from tightrope.trial.trial import ReplayProgress, Trial, try_plan

MOST_SEEDS = 1000
LARGEST_SEED = 2**32 - 1
SHOWN = 20
"""Characters of a wrong seed that its message repeats, and more than a right one has."""


@dataclass(frozen=True, slots=True)
class TrialArguments:
    """What ``tightrope replay`` was asked, word for word; see its ``--help``."""

    traces: tuple[str, ...]
    seeds: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    time_unit: str = ""
    week_hour: float = 0.0
    log_s: float = 0.0
    """Until when the engines' work is noted."""


def answer(question: TrialArguments, plan: Plan, book: PriceBook, progress: ReplayProgress | None = None) -> Trial:
    """Return what the replays show; raise ``InputError`` for whatever in the question is wrong."""
    seeds, scenario = parse_seeds(question.seeds), parse_scenarios(question.scenarios)
    traces = [parse_trace(text, plan) for text in question.traces]
    recorded = load_traffic(
        plan, traces, columns=parse_columns(question.columns), time_unit=question.time_unit, week_hour=question.week_hour
    )
    return try_plan(plan, recorded, book, seeds=seeds, scenario=scenario, log_s=question.log_s, progress=progress)


def parse_seeds(stated: tuple[str, ...]) -> tuple[int, ...]:
    """Return the seeds in order, each once; 1 where none is stated.

    >>> parse_seeds(("3,1", "2")), parse_seeds(())
    ((3, 1, 2), (1,))
    """
    words = [word.strip() for text in stated for word in text.split(",")]
    for word in words:
        # the length first: Python refuses to read a number of thousands of digits
        short = word if len(word) <= SHOWN else f"{word[:SHOWN]}…"
        if not (word.isascii() and word.isdigit() and len(word) <= SHOWN and int(word) <= LARGEST_SEED):
            msg = f"seed {short!r}: expected a whole number from 0 to {LARGEST_SEED}"
            raise InputError(msg, resolve="write seeds as --seed 1,2,3")
    if len(words) > MOST_SEEDS:
        msg = f"{len(words)} seeds asked for, {MOST_SEEDS} at most"
        raise InputError(msg, resolve="ask for fewer: the interval hardly narrows beyond a few")
    return tuple(dict.fromkeys(int(word) for word in words)) or (1,)
