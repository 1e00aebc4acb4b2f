"""``tightrope perf measure-endpoint``: measure a running engine through its HTTP interface."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError
from tightrope.cli.entry import parse_shape, render_entry

if TYPE_CHECKING:
    from rich.console import Console

    from tightrope.base.records import EngineModel, FloatArray
    from tightrope.perf.endpoint.load_ramp import LoadTrial
    from tightrope.perf.endpoint.request_engine import RequestMeasurement
    from tightrope.perf.endpoint.token_engine import TokenMeasurement
    from tightrope.replay.records import Outcome

ENOUGH = 20
"""Fewest answers for a comparison with the replay."""
OFF = 10.0
"""Largest relative difference that the table shows; beyond it the replay is simply wrong."""
HOURS_PER_WEEK = 168


def measure_endpoint(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8000.")],
    machine: Annotated[str, typer.Option(metavar="NAME", help="Machine type of the server.")],
    load: Annotated[str, typer.Option(metavar="TIME", help="Time from a booted machine to a ready model: 90s, 3 min.")],
    api: Annotated[str, typer.Option(metavar="NAME", help="completions, chat, embeddings or infer.")] = "completions",
    model: Annotated[str, typer.Option(metavar="NAME", help="Model of the server; default: its only one.")] = "",
    variant: Annotated[str, typer.Option(metavar="MODEL/VARIANT", help="Name of the model; default: the server's name.")] = "",
    key_variable: Annotated[
        str,
        typer.Option(
            metavar="VARIABLE", help="Environment variable with the key; it is sent to this server only, and never shown."
        ),
    ] = "",
    max_requests: Annotated[int, typer.Option(min=1, help="Requests at most.")] = 3000,
    max_seconds: Annotated[float, typer.Option(min=1, help="Seconds at most.")] = 1800.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Most seconds for one complete answer.")] = 120.0,
    max_prompt: Annotated[int, typer.Option(min=64, help="Tokens of the longest prompt.")] = 8192,
    max_concurrency: Annotated[int, typer.Option(min=2, max=4096, help="Most requests at a time.")] = 512,
    kv_tokens: Annotated[int | None, typer.Option(min=1, help="KV cache in tokens, if known.")] = None,
    max_sequences: Annotated[int | None, typer.Option(min=1, help="Sequences at a time, if known.")] = None,
    chunk_tokens: Annotated[int | None, typer.Option(min=2, help="Most tokens of a step, if known.")] = None,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batches in one request; embeddings and infer.")] = "1,2,4,8,16",
    words: Annotated[int, typer.Option(min=1, help="Words of a text; embeddings.")] = 32,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=AxBxC", help="Shape of an input without its batch; infer; may be repeated."),
    ] = None,
    ramp: Annotated[int, typer.Option(min=0, help="Requests at each rate of open-loop load after the fit; 0 is none.")] = 60,
    tokens: Annotated[str, typer.Option(metavar="IN:OUT", help="Mean tokens of prompt and answer in that load.")] = "256:64",
    seed: Annotated[int, typer.Option(help="Seed of prompts, arrival times and samples.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for profile.yaml and endpoint.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Measure a running server: the engine's coefficients and limits, and a profile for the workload."""
    from rich.console import Console

    from tightrope.base.units import today
    from tightrope.perf.endpoint.experiments import ExperimentLimits
    from tightrope.perf.endpoint.load_ramp import Ramp
    from tightrope.perf.endpoint.profile_entry import EndpointProfile, profile_of, workload_entry
    from tightrope.perf.endpoint.request_engine import LoadOptions, run_requests
    from tightrope.perf.endpoint.target import MeasurementLimits, parse_target
    from tightrope.perf.endpoint.token_engine import run_tokens
    from tightrope.render.files import write_files
    from tightrope.render.plain import plain

    target = parse_target(url, api, model, key_variable)
    limits = MeasurementLimits(max_requests, max_seconds, timeout)
    load_s = _parse_seconds(load)
    asked = ExperimentLimits(
        max_prompt=max_prompt,
        max_concurrency=max_concurrency,
        seed=seed,
        chunk_tokens=chunk_tokens,
        max_sequences=max_sequences,
        kv_capacity_tokens=kv_tokens,
    )
    sizes = _parse_pair(tokens)
    shapes = tuple(parse_shape(text) for text in inputs or ())
    requests = LoadOptions(
        _parse_batches(batch), max_concurrency=max_concurrency, words=words, shapes=shapes, ramp_requests=ramp, seed=seed
    )
    with Console(stderr=True).status("connect") as status:
        if target.api in {"completions", "chat"}:
            measured: TokenMeasurement | RequestMeasurement = run_tokens(target, limits, asked, Ramp(ramp, *sizes), status.update)
        else:
            measured = run_requests(target, limits, requests, status.update)
        status.update("replay the load that was sent")
        checks = _check_trials(measured)
    missed = max((check.off for check in checks if check.off is not None and not check.saturated), default=0.0)
    wanted = EndpointProfile(variant or measured.target.model, machine, load_s, today())
    profile = profile_of(measured, wanted, missed)
    entry = workload_entry(profile)
    said = {"measured": plain(replace(measured, trials=()), exact=True), "load": plain(checks, exact=True), "profile": entry}
    if out is not None:
        write_files(out, {Path("endpoint.json"): json.dumps(said, indent=1) + "\n", Path("profile.yaml"): render_entry(entry)})
    if as_json:
        typer.echo(json.dumps(said))
    else:
        _print_measurement(Console(), measured, checks, render_entry(entry), out)


@dataclass(frozen=True, slots=True)
class Check:
    """Open-loop load at one rate: measured times and those of a replay of the fitted engine, both without the network."""

    rate_per_s: float
    sent: int
    errors: dict[str, int]
    answered_per_s: float
    saturated: bool
    late_s: float
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tpot_s: float | None
    replayed_ttft_p50_s: float | None
    replayed_ttft_p95_s: float | None
    replayed_tpot_s: float | None
    off: float | None
    """Largest relative difference of the median time to the first token and of the mean time per token; None: too few answers."""


def _check_trials(measured: "TokenMeasurement | RequestMeasurement") -> tuple[Check, ...]:
    """Return each trial with its replay."""
    from tightrope.perf.endpoint.profile_entry import engine_of

    engine, engines, front_s = engine_of(measured)
    return tuple(check_trial(trial, engine, engines, front_s) for trial in measured.trials)


def check_trial(trial: "LoadTrial", engine: "EngineModel", engines: int, front_s: float) -> Check:
    """Return one trial with a replay of the same requests at the same arrival times."""
    import numpy as np

    def middle(values: "FloatArray", percentile: float) -> float:
        return float(np.percentile(values, percentile))

    known = (trial.rate_per_s, trial.sent, trial.errors, trial.answered_per_s, trial.saturated, trial.late_s)
    if len(trial.time_s) < ENOUGH:
        return Check(*known, None, None, None, None, None, None, None)
    outcome = replay_trial(trial, engine, engines)
    seen, again = trial.ttft_s - front_s, outcome.ttft_s
    tpot_s, tpot_again_s = float(trial.tpot_s.mean()), float(outcome.tpot_s.mean())
    off = abs(middle(again, 50) / middle(seen, 50) - 1.0)
    off = max(off, abs(tpot_again_s / tpot_s - 1.0)) if tpot_s > 0 else off
    return Check(
        *known, middle(seen, 50), middle(seen, 95), tpot_s, middle(again, 50), middle(again, 95), tpot_again_s, min(off, OFF)
    )


def replay_trial(trial: "LoadTrial", engine: "EngineModel", engines: int) -> "Outcome":
    """Replay a trial's requests on one machine with ``engines`` engines."""
    import numpy as np

    from tightrope.base.records import ScalingPolicy
    from tightrope.base.units import SECONDS_PER_HOUR
    from tightrope.replay.records import Fleet, FleetClass, FleetPool, Traffic
    from tightrope.replay.run import replay_fleet

    schedule = np.ones(HOURS_PER_WEEK, dtype=np.int64)
    pool = FleetPool("server", "model", engine, engines, 1.0, 0.0, 1, 0.0, schedule, 1, 0)
    still = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
    share = np.ones((1, 1, HOURS_PER_WEEK))
    fleet = Fleet((pool,), (FleetClass("requests"),), ("model",), share, np.ones((1, 1), dtype=bool), still)
    kinds = np.zeros(len(trial.time_s), dtype=np.int64)
    traffic = Traffic(trial.time_s, kinds, trial.input_tokens, trial.output_tokens)
    hours = 1 + int(trial.time_s[-1] // SECONDS_PER_HOUR)
    return replay_fleet(fleet, traffic, duration_s=hours * SECONDS_PER_HOUR, block_offset_s=0.0, seed=0)


# --------------------------------------------------------------------------------------------------------------- what is said


def _parse_seconds(text: str) -> float:
    """Return an option's duration in seconds."""
    from pydantic import TypeAdapter, ValidationError

    from tightrope.demand.quantities import Seconds

    try:
        return float(TypeAdapter(Seconds).validate_python(text))
    except ValidationError as error:
        msg = f"--load is {text!r}: {error.errors()[0]['msg']}"
        raise InputError(msg, resolve="give a time such as 90s or 3min") from None


def _parse_pair(text: str) -> tuple[int, int]:
    """Return two integers above 1 from ``A:B``."""
    found = re.fullmatch(r"(\d{1,7}):(\d{1,7})", text)
    if found is None or min(map(int, found.groups())) < 2:
        msg = f"--tokens is {text!r}, expected tokens of prompt and answer, two or more, such as 256:64"
        raise InputError(msg, resolve="correct --tokens")
    return int(found.group(1)), int(found.group(2))


def _parse_batches(text: str) -> tuple[int, ...]:
    """Return batch sizes from 1 to 4096 in ascending order."""
    parts = text.split(",")
    numbers = sorted({int(part) for part in parts if re.fullmatch(r"\s*\d{1,4}\s*", part)})
    if len(numbers) < len(parts) or not 1 == numbers[0] <= numbers[-1] <= 4096:
        msg = f"--batch is {text!r}, expected distinct integers from 1 to 4096, 1 among them, such as 1,2,4,8"
        raise InputError(msg, resolve="correct --batch")
    return tuple(numbers)


def _print_measurement(
    console: "Console", measured: "TokenMeasurement | RequestMeasurement", checks: tuple[Check, ...], entry: str, out: Path | None
) -> None:
    """Print the fit, its quality, and the profile as workload YAML."""
    from rich.text import Text

    from tightrope.perf.endpoint.token_engine import TokenMeasurement
    from tightrope.render.terminal import grid, plain_text

    console.print(plain_text(f"{measured.target.model} at {measured.target.url}", "bold"))
    rows, notes = _tabulate_token_fit(measured) if isinstance(measured, TokenMeasurement) else _tabulate_request_fit(measured)
    table = grid(*["right!"] * (len(rows[0]) - 1), "left")
    table.add_row(*(Text(head, "dim") for head in rows[0]))
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for note in (*notes, *(_describe_check(check) for check in checks)):
        console.print(plain_text(note))
    console.print(plain_text("the profile, for the variant's `profiles:` in the workload", "dim"))
    typer.echo(entry, nl=False)
    if out is not None:
        typer.echo(f"wrote  {out / 'profile.yaml'}, {out / 'endpoint.json'}")


def _tabulate_token_fit(measured: "TokenMeasurement") -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the coefficients and limits with their confidence intervals, and the quality of the fit."""
    from tightrope.perf.endpoint.fit import UNITS

    fitted, best = measured.fitted, measured.fitted.best
    rows: list[tuple[str, ...]] = [("", "value", "from", "to", "evidence")]
    for name, (label, unit, scale) in UNITS.items():
        cells = (f"{scale * value:.4g}" for value in (getattr(best, name), fitted.lower[name], fitted.upper[name]))
        rows.append((f"{label}, {unit}", *cells, "joint fit, 95 % by bootstrap"))
    limits = {"KV cache, tokens": measured.memory, "sequences": measured.sequences, "tokens a step": measured.chunk}
    rows += [(label, *(f"{n:,}" for n in (limit.value, limit.lower, limit.upper)), limit.how) for label, limit in limits.items()]
    fit = (
        f"{sum(fitted.observations.values())} observations in {measured.requests} requests and {measured.seconds:.0f} s: "
        f"R² {fitted.r_squared:.4f}, relative residuals p50 {fitted.residual_p50:.1%}, p95 {fitted.residual_p95:.1%}; "
        f"of {fitted.held_out} held out p50 {fitted.held_out_p50:.1%}, p95 {fitted.held_out_p95:.1%}"
    )
    way = (
        f"the round trip takes {1e3 * measured.round_trip_s:.2f} ms, of which the times of steps are free; "
        f"this program was late by {1e3 * measured.lag_p95_s:.2f} ms (p95)"
    )
    return rows, [fit, way]


def _tabulate_request_fit(measured: "RequestMeasurement") -> tuple[list[tuple[str, ...]], list[str]]:
    """Return each measured point beside the fitted value."""
    rows: list[tuple[str, ...]] = [("batch", "at a time", "ms", "±", "p95 ms", "items/s")]
    for point in measured.points:
        times = (f"{1e3 * point.mean_s:.2f}", f"{point.half_width_s / point.mean_s:.1%}", f"{1e3 * point.p95_s:.2f}")
        rows.append((str(point.batch), str(point.concurrency), *times, f"{point.items_per_s:,.1f}"))
    note = (
        f"{measured.engines} batches at a time (seen {measured.engines_seen:.2f}); the round trip takes "
        f"{1e3 * measured.round_trip_s:.2f} ms and is taken off; this program was late by {1e3 * measured.lag_p95_s:.2f} ms (p95)"
    )
    return rows, [note]


def _describe_check(check: Check) -> str:
    """Return the check of one rate as a sentence."""
    line = f"{check.rate_per_s:.2f} requests/s: {check.answered_per_s:.2f} answered" + (", full" if check.saturated else "")
    if check.errors:
        line += ", failed " + ", ".join(f"{count} × {kind}" for kind, count in sorted(check.errors.items()))
    if check.ttft_p50_s is None or check.replayed_ttft_p50_s is None:
        return line + ", too few answers to compare"
    line += f"; first token p50 {1e3 * check.ttft_p50_s:.1f} ms, replayed {1e3 * check.replayed_ttft_p50_s:.1f}"
    if check.tpot_s and check.replayed_tpot_s is not None:
        line += f"; each further {1e3 * check.tpot_s:.2f} ms, replayed {1e3 * check.replayed_tpot_s:.2f}"
    return line
