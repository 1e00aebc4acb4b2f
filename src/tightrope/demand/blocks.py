"""A trace cut into the part to size on and the part to prove on, and folded into the 168 hours of a week."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tightrope.base.records import ClientMix, Demand, FloatArray
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.demand.request_keys import places_of

DAY_S = 86_400.0
SEASON_WEEKS = 8
"""Of a longer trace, its last so many weeks are the season that is planned for: last year's peak says little of the coming week."""


class Split(NamedTuple):
    """A demand in two: ``heldout`` counts time from its own start, which is ``heldout_start_s`` on the whole trace's clock."""

    sizing: Demand
    heldout: Demand
    heldout_start_s: float


@dataclass(frozen=True, slots=True)
class Blocks:
    """A typical week, float64[168] each; block 0 is 00:00 to 01:00 of the trace's first day.

    ``mean_rate_per_s`` is the mean over the weeks of the season; ``peak_rate_per_s`` the largest rate of one bin within the block
    or the lead time after it, in any of them. ``note`` says which blocks were never seen and what stands for them, and how the
    season compares with a longer trace.
    """

    mean_rate_per_s: FloatArray
    peak_rate_per_s: FloatArray
    note: str


def split_demand(demand: Demand, heldout_share: float) -> Split:
    """Return the demand without its last part, and that part; the cut is at a midnight where the trace has two days or more.

    Raises ``ValueError`` where a part would be empty.
    """
    bins = len(demand.rate_per_s)
    cut_s = demand.duration_s * (1 - heldout_share)
    days = int(demand.duration_s // DAY_S)
    if days >= 2:
        cut_s = DAY_S * min(max(round(cut_s / DAY_S), 1), days - (demand.duration_s == days * DAY_S))
    cut = min(max(round(cut_s / demand.bin_s), 1), bins - 1)
    if not 0 < heldout_share < 1 or bins < 2:
        msg = f"got a held-out share of {heldout_share} and {bins} bins, expected a share between 0 and 1 and two bins or more"
        raise ValueError(msg)
    return Split(_part(demand, 0, cut), _part(demand, cut, bins), cut * demand.bin_s)


def _part(demand: Demand, first: int, last: int) -> Demand:
    """Return the bins [first, last), with the requests in them and time counted from the first."""
    start_s, end_s = first * demand.bin_s, last * demand.bin_s
    mix, bins = demand.clients, np.s_[:, first:last]
    clients = mix and ClientMix(mix.share[bins], mix.shape[bins], mix.weibull[bins])
    cut = replace(demand, rate_per_s=demand.rate_per_s[first:last], clients=clients)
    if not len(demand.arrival_s) and demand.key is None:
        return cut
    one, other = places_of(demand, np.array([start_s, end_s]))
    return replace(
        cut,
        arrival_s=demand.arrival_s[one:other] - start_s,
        input_tokens=demand.input_tokens[one:other],
        output_tokens=demand.output_tokens[one:other],
        key=None if demand.key is None else demand.key[one:other],
        cached=None if demand.cached is None else demand.cached[one:other],
    )


def weekly_blocks(demand: Demand, horizon_lead_s: float) -> Blocks:
    """Return the typical week of a demand; a rise within ``horizon_lead_s`` after a block counts towards the block's peak.

    Hours of the week that the trace does not hold repeat the same hour of its days, or the trace itself where it is shorter than
    a day. Of a longer trace, the last ``SEASON_WEEKS`` whole weeks are taken, and what is left beside them.
    """
    whole, every = _hourly(demand, horizon_lead_s)
    first = HOURS_PER_WEEK * max(len(whole) // HOURS_PER_WEEK - SEASON_WEEKS, 0)
    mean, peak = whole[first:], every[first:]
    hours = np.arange(HOURS_PER_WEEK)
    weekly_mean, weekly_peak = (np.full(HOURS_PER_WEEK, np.nan) for _ in range(2))
    period = HOURS_PER_WEEK if len(mean) >= HOURS_PER_WEEK else min(24, len(mean))
    for hour in range(period):
        same = slice(hour, None, period)
        weekly_mean[hours % period == hour] = mean[same].mean()
        weekly_peak[hours % period == hour] = peak[same].max()
    seen = min(len(mean), HOURS_PER_WEEK)
    if period == 24:
        weekly_mean[:seen], weekly_peak[:seen] = mean, peak
    return Blocks(weekly_mean, weekly_peak, _season_note(whole, first) if first else _note(seen, period))


def _season_note(mean: FloatArray, first: int) -> str:
    """Return what was planned for of a trace of many weeks, and how it compares with all of it."""
    ratio = mean[first:].mean() / mean.mean() if mean.any() else 1.0
    weeks = len(mean) / HOURS_PER_WEEK
    return (
        f"planned for the last {(len(mean) - first) / HOURS_PER_WEEK:.3g} of {weeks:.3g} weeks, whose mean is {ratio:.2f} times that "
        "of all: state what comes after them in `future`, which commitments are sized on"
    )


def _note(seen: int, period: int) -> str:
    """Return what stands for the hours that were never seen, nothing where all were."""
    if period == HOURS_PER_WEEK:
        return ""
    stand_in = "the same hour of its days" if period == 24 else "its hours in turn"
    return f"the trace holds {seen} of the {HOURS_PER_WEEK} hours of a week; the others repeat {stand_in}"


def _hourly(demand: Demand, lead_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the peak rate of every hour of the trace, float64[hours]; the last hour may be shorter.

    A trace of whole days is followed by its own beginning, so that the rise after its last hour counts.
    """
    rate, bin_s, duration_s = demand.rate_per_s, demand.bin_s, demand.duration_s
    start_s = np.arange(0.0, duration_s - 1e-6, SECONDS_PER_HOUR)
    end_s = np.minimum(start_s + SECONDS_PER_HOUR, duration_s)
    edges, expected = np.arange(len(rate) + 1) * bin_s, np.concatenate([[0.0], np.cumsum(rate) * bin_s])
    mean = (np.interp(end_s, edges, expected) - np.interp(start_s, edges, expected)) / (end_s - start_s)
    beyond = int(np.ceil(lead_s / bin_s)) if duration_s % DAY_S == 0 else 0
    followed = np.concatenate([rate, np.resize(rate, beyond)])
    first = np.floor(start_s / bin_s + 1e-9).astype(np.int64)
    last = np.minimum(np.ceil((end_s + lead_s) / bin_s - 1e-9).astype(np.int64), len(followed))
    bounds = np.ravel(np.column_stack([first, last]))
    peak = np.maximum.reduceat(np.append(followed, 0.0), bounds)[::2]
    return mean, peak
