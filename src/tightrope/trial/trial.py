"""Try a plan on recorded traffic: ``plan.json`` and requests in, what became of them and what it cost out.

The fleet is rebuilt from the plan, replayed once a seed as the traffic was recorded, and again in the scenario asked for.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from tightrope.base.plan import Plan
from tightrope.base.replay_report import ReplayReport, RunOutcome
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.replay_bill import build_stretch_lines, hourly_usd, measure_outcomes, measure_replay_usage, month_usd
from tightrope.plan.bill.transfer_bill import around_as_ran_usd, find_answering
from tightrope.plan.fleet.recorded_traffic import DAY_S, RecordedTraffic
from tightrope.plan.fleet.scenarios import AS_RECORDED, ReplayScenario, drop_caches, place_drills, surged
from tightrope.plan.plan_json import rebuild_fleet, warn_of_prefixes
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.replay.records import Drill, Fleet, Outcome
from tightrope.replay.run import replay_fleet
from tightrope.trial.outcome_figures import drill_evidence, gather_trial_evidence, summarise_classes, summarise_pools
from tightrope.trial.time_series import series_of
from tightrope.trial.zone_loss import ZoneLoss, loss_of

THREADS = 2
"""Compiled code runs outside Python's lock, so seeds run side by side; each needs the memory of a whole replay."""

Kept = TypeVar("Kept")
Keep: TypeAlias = Callable[[int, Outcome], Kept]
"""From the place and the outcome of a replay to what is kept of it: outcomes are large."""


class ReplayProgress(Protocol):
    """Hears how far the replays are; called from several threads."""

    live: bool
    """Whether anybody watches: then it hears of a replay while it runs, else at its end."""

    def expect(self, requests: int) -> None:
        """Hear how many requests there are in all replays to come, about: a surge draws their number."""
        ...

    def arrived(self, what: str, replay: int, requests: int) -> None:
        """Hear that so many requests of one replay have arrived by now."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """The report, and the first seed's outcome of its last run."""

    report: ReplayReport
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Job:
    """One way of replaying the traffic."""

    fleet: Fleet
    recorded: RecordedTraffic
    seeds: tuple[int, ...]
    scenario: ReplayScenario = AS_RECORDED
    drill: Drill | None = None
    had_cache: bool = True
    """Whether there was a cache for ``no-cache`` to take."""
    loss: ZoneLoss | None = None
    """What the drill took, where its zone was searched for."""
    log_s: float = 0.0

    @property
    def requests(self) -> int:
        """How many requests one replay has, about."""
        return round(len(self.recorded.traffic.time_s) * self.scenario.surge)

    def replay(self, seed: int, told: Callable[[int], None] | None = None) -> Outcome:
        """Return the outcome of one seed; the work of engines is noted for the first. ``told`` hears how many requests arrived."""
        return replay_fleet(
            self.fleet,
            surged(self.recorded.traffic, self.scenario.surge, self.recorded.duration_s, seed),
            duration_s=self.recorded.duration_s,
            block_offset_s=self.recorded.start_s,
            seed=seed,
            drill=self.drill,
            log_s=self.log_s if seed == self.seeds[0] else 0.0,
            progress=told,
        )


def try_plan(
    plan: Plan,
    recorded: RecordedTraffic,
    book: PriceBook,
    *,
    seeds: tuple[int, ...],
    scenario: ReplayScenario = AS_RECORDED,
    log_s: float = 0.0,
    progress: ReplayProgress | None = None,
) -> Trial:
    """Return what the plan's fleet makes of the traffic, as recorded and in the scenario where one is asked for.

    ``log_s`` is until when the first seed's engines are to note their work, in the last run. Raises ``InputError`` where the plan
    does not describe a fleet, or where the catalogue does not sell what it runs on.
    """
    plain = _Job(rebuild_fleet(plan), recorded, seeds)
    changed = _apply_scenario(plain, scenario)
    drills = place_drills(scenario.drill, changed.fleet, recorded) if scenario.drill else ()
    watch = _Watch(progress)
    watch.expect(plain, changed, drills)
    if changed is plain:
        return _run_jobs(plan, recorded, [replace(plain, log_s=log_s)], watch, book)
    changed = _add_drill(plan, changed, drills, watch)
    return _run_jobs(plan, recorded, [plain, replace(changed, log_s=log_s)], watch, book)


def _run_jobs(plan: Plan, recorded: RecordedTraffic, jobs: list[_Job], watch: "_Watch", book: PriceBook) -> Trial:
    """Return the report of all ways of replaying, and the first seed's outcome of the last."""
    runs: list[RunOutcome] = []
    for job in jobs:
        outcomes = watch.replays([job] * len(job.seeds), job.seeds, str(job.scenario) or "as recorded", _keep_outcome)
        runs.append(_summarise_run(plan, job, outcomes, book))
    return Trial(_build_report(plan, recorded, jobs[0].seeds, tuple(runs)), outcomes[0])


@dataclass(slots=True)
class _Watch:
    """Runs replays side by side, and tells whoever watches how far they are."""

    progress: ReplayProgress | None
    begun: int = 0

    def expect(self, plain: _Job, changed: _Job, drills: Sequence[Drill]) -> None:
        """Tell how much is to come."""
        if self.progress is None:
            return
        runs = len(plain.seeds) * plain.requests
        if changed is not plain:
            searched = 1 + len(drills) if len(drills) > 1 else 0
            runs += (len(plain.seeds) + searched) * changed.requests
        self.progress.expect(runs)

    def replays(self, jobs: Sequence[_Job], seeds: Sequence[int], what: str, keep: Keep[Kept]) -> list[Kept]:
        """Return what is kept of each job's outcome, given its place, each with its seed, in their order."""
        first, self.begun = self.begun, self.begun + len(jobs)

        def one(place: int) -> Kept:
            return keep(place, self._replay(jobs[place], seeds[place], what, first + place))

        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            return list(pool.map(one, range(len(jobs))))

    def _replay(self, job: _Job, seed: int, what: str, number: int) -> Outcome:
        """Return the outcome of the ``number``-th replay."""
        if self.progress is None:
            return job.replay(seed)
        told = partial(self.progress.arrived, what, number)
        outcome = job.replay(seed, told if self.progress.live else None)
        told(len(outcome.finish_s))
        return outcome


def _keep_outcome(_place: int, outcome: Outcome) -> Outcome:
    """Return an outcome as it is."""
    return outcome


def _apply_scenario(job: _Job, scenario: ReplayScenario) -> _Job:
    """Return the job in a scenario, its drill still to be placed; the job itself where nothing is changed."""
    if scenario == AS_RECORDED:
        return job
    bare = drop_caches(job.fleet)
    had_cache = job.fleet.cache is not None or any(pool.prefix_block_tokens > 0 for pool in job.fleet.pools)
    return replace(job, fleet=bare if scenario.no_cache else job.fleet, scenario=scenario, had_cache=had_cache)


def _add_drill(plan: Plan, job: _Job, drills: Sequence[Drill], watch: _Watch) -> _Job:
    """Return the job with its drill; of the zones that may be lost the worst, found by replaying each on all of the traffic."""
    if len(drills) < 2:
        return replace(job, drill=drills[0] if drills else None)
    (without,) = watch.replays([job], job.seeds[:1], "no zone lost", _keep_outcome)
    tries = [replace(job, drill=drill) for drill in drills]

    def loss(place: int, outcome: Outcome) -> ZoneLoss:
        return loss_of(plan, outcome, without, drills[place], job.recorded.start_s)

    losses = watch.replays(tries, [job.seeds[0]] * len(tries), "each zone lost", loss)
    worst = max(range(len(losses)), key=lambda place: losses[place].gravity)
    return replace(tries[worst], loss=losses[worst])


def _summarise_run(plan: Plan, job: _Job, outcomes: list[Outcome], book: PriceBook) -> RunOutcome:
    """Return the figures of one way of replaying."""
    recorded = job.recorded
    hours, units = measure_outcomes(plan, book, job.fleet, outcomes)
    ran = measure_replay_usage(plan, book, hours, recorded.start_s, recorded.duration_s, units)
    hours, units = measure_outcomes(plan, book, job.fleet, outcomes[:1])
    first = replace(ran, machine_hours=hours, units=units)
    answering = find_answering(plan, book)
    lines = build_stretch_lines(ran, book) + answering.in_stretch(outcomes, recorded.duration_s)
    month = answering.in_month(outcomes, recorded.duration_s) if recorded.duration_s >= DAY_S else None
    return RunOutcome(
        scenario=str(job.scenario),
        notes=_describe_changes(job, recorded),
        evidence=gather_trial_evidence(plan, outcomes, start_s=recorded.start_s, window=recorded.window, seeds=job.seeds),
        drill_evidence=drill_evidence(plan, outcomes, job.drill, recorded.start_s),
        classes=summarise_classes(plan, outcomes),
        pools=summarise_pools(plan, outcomes, recorded.duration_s),
        interruptions=_average(outcomes, "interruptions"),
        failures=_average(outcomes, "failures"),
        retries=_average(outcomes, "retries"),
        cold_starts=_average(outcomes, "cold_starts"),
        preemptions=_average(outcomes, "preemptions"),
        attempts_shed=_average(outcomes, "attempts_shed"),
        cost_lines=lines,
        stretch_cost_usd=total_usd(lines),
        monthly_cost_usd=month_usd(ran, book) + around_as_ran_usd(plan.cost_lines, month),
        series=series_of(plan, outcomes[0], recorded.duration_s, recorded.clock_s, hourly_usd(first, book)),
        drill_start_h=_to_clock_h(recorded, job.drill.start_s) if job.drill else None,
        drill_end_h=_to_clock_h(recorded, job.drill.end_s) if job.drill else None,
    )


def _average(outcomes: list[Outcome], name: str) -> float:
    """Return the mean of a count over the seeds."""
    return float(np.mean([getattr(outcome, name) for outcome in outcomes]))


def _to_clock_h(recorded: RecordedTraffic, time_s: float) -> float:
    """Return a time of the replay as an hour of the trace's clock."""
    return (recorded.clock_s + time_s) / SECONDS_PER_HOUR


def _describe_changes(job: _Job, recorded: RecordedTraffic) -> tuple[str, ...]:
    """Say what exactly a scenario changed."""
    notes = []
    if job.drill is not None:
        notes.append(f"{_describe_drill(job, job.drill)}, {recorded.clock(job.drill.start_s, job.drill.end_s)}")
    if job.scenario.surge != 1.0:
        how = "each joined by copies within half a minute of it" if job.scenario.surge > 1.0 else "the others are left out"
        notes.append(f"{job.scenario.surge:g} times the requests: {how}")
    if job.scenario.no_cache:
        notes.append("no cache of answers and no prefix cache" if job.had_cache else "the fleet has no cache: nothing is taken")
    return tuple(notes)


def _describe_drill(job: _Job, drill: Drill) -> str:
    """Say what a drill takes away."""
    fleet, loss = job.fleet, job.loss
    spot = any(pool.interruptions_per_hour > 0.0 for pool in fleet.pools)
    if not spot and drill.kind in {"spot-zone-loss", "spot-storm"}:
        return "no pool can be interrupted: nothing is taken"
    if loss is not None and not loss.changed:
        return "no zone has a machine to lose then: nothing is taken"
    zone = f"zone {drill.zone + 1} of {max(1, *(pool.zones for pool in fleet.pools))}"
    how = f"lost without notice{_describe_loss(loss, job.seeds)}"
    return {
        "zone-loss": f"{zone} is {how}",
        "spot-zone-loss": f"the spot machines in {zone} are {how}",
        "spot-storm": "every spot machine gets its notice and none is to be had",
        "metrics-loss": "the autoscaler sees no metric",
    }[drill.kind]


def _describe_loss(loss: ZoneLoss | None, seeds: tuple[int, ...]) -> str:
    """Say how much a drill took, and that no other zone's loss is worse."""
    if loss is None:
        return ""
    count = "1 machine" if loss.machines == 1 else f"{loss.machines} machines"
    return f" (the worst of them; it takes {count}{f' with seed {seeds[0]}' if len(seeds) > 1 else ''})"


def _build_report(plan: Plan, recorded: RecordedTraffic, seeds: tuple[int, ...], runs: tuple[RunOutcome, ...]) -> ReplayReport:
    """Return the whole report."""
    return ReplayReport(
        workload=plan.workload,
        plan_status=plan.status,
        plan_monthly_cost_usd=plan.monthly_cost_usd,
        plan_replay_monthly_cost_usd=plan.replay_monthly_cost_usd,
        sources=recorded.sources,
        window=recorded.window,
        duration_h=recorded.duration_s / SECONDS_PER_HOUR,
        seeds=seeds,
        runs=runs,
        warnings=_list_warnings(plan, recorded, runs),
    )


def _list_warnings(plan: Plan, recorded: RecordedTraffic, runs: tuple[RunOutcome, ...]) -> tuple[str, ...]:
    """Return what a reader should know before believing the figures."""
    found = [*recorded.warnings, *warn_of_prefixes(plan, recorded.traffic)]
    seen = {item.name for item in runs[0].classes}
    missing = [item.asked_as or item.name for item in plan.classes if item.name not in seen and not item.follows]
    if missing:
        found.append(f"the trace has no requests of {', '.join(missing)}: nothing is said of what it was promised")
    if recorded.duration_s < DAY_S:
        found.append("less than a day of traffic: the month is the plan's schedule, scaled by what ran over what was scheduled")
    if not any(run.evidence for run in runs):
        found.append("no class of the trace was promised anything: nothing is proven")
    return tuple(found)
