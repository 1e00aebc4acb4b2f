"""A first ``workload.yaml``: from a trace or from a few answers, commented, and loaded once before it is put in place."""

import csv
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tightrope.base import registry
from tightrope.base.errors import InputError, Where, build_unknown_name_error
from tightrope.base.records import Demand, FloatArray
from tightrope.base.units import GIB
from tightrope.demand.blocks import weekly_blocks
from tightrope.demand.columns import DEMAND_ROLES, find_column
from tightrope.demand.price_names import PriceNames
from tightrope.demand.quantities import parse_slo
from tightrope.demand.trace import Gaps, load_arrivals, load_rates
from tightrope.demand.trace_tables import open_table
from tightrope.demand.workload import BYTES_PER_PARAMETER, load_workload

PRECISIONS = {"token": ("fp16", "int8"), "request": ("int8",)}
FAMILIES = {"token": ("g4dn", "g5", "g6", "g6e"), "request": ("g4dn", "g5", "g6", "c6i", "c7i")}
PROMISES = {"token": ("ttft p95 <= 3 s", "tpot p95 <= 120 ms"), "request": ("latency p99 <= 100 ms",)}
MEMORY_SHARE = 0.8
"""Share of an accelerator's memory that weights may fill for the variant to be taken as today's."""
_TODAY = re.compile(r"\s*(\d+)\s*[x×*]\s*(\S+)\s*")
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class InitAnswers:
    """What the verb ``init`` was asked: a trace, or the rates of a declared day; empty and None are left to choose."""

    trace: Path | None
    name: str
    rate_per_s: float | None
    peak_per_s: float | None
    peak_hour: float
    input_tokens: int | None
    output_tokens: int | None
    model: str
    slo: tuple[str, ...]
    today: str
    """Such as ``33 x g4dn.xlarge``."""
    regions: tuple[str, ...]
    columns: tuple[str, ...]
    """Each ``role=column``."""
    time_unit: str
    gaps: Gaps


# ---------------------------------------------------------------------------------------------------------------- the trace


def read_trace(path: Path, out: Path, columns: Mapping[str, str], time_unit: str, gaps: Gaps) -> tuple[Demand, str]:
    """Return a trace's demand and the YAML that loads it from the folder ``out``: rates where it has them, else requests."""
    table = open_table(path)
    by_rate = any(find_column(table, role, columns) for role in ("rate", "count"))
    kind = "rates" if by_rate else "requests"
    stated: dict[str, Any] = {"file": os.path.relpath(path.resolve(), out.resolve())}
    stated |= {"columns": dict(columns)} if columns else {}
    stated |= {"time_unit": time_unit} if time_unit else {}
    if by_rate:
        stated |= {"gaps": gaps} if gaps != "error" else {}
        demand = load_rates(path, columns=columns, time_unit=time_unit, gaps=gaps)
    else:
        demand = load_arrivals(path, columns=columns, time_unit=time_unit)
    return demand, f"{kind}: {json.dumps(stated, ensure_ascii=False)}"


def describe(demand: Demand) -> dict[str, float]:
    """Return the figures of a demand: length, rates, the busiest hour of the day, sizes."""
    figures = {
        "days": demand.duration_s / 86_400,
        "requests": demand.requests,
        "mean_per_s": float(demand.rate_per_s.mean()),
        "peak_per_s": float(demand.rate_per_s.max()),
        "bin_s": demand.bin_s,
        "busiest_hour": float(np.argmax(hour_of_day(demand))),
        "interarrival_cv": demand.interarrival_cv,
    }
    for name, sizes in (("input_tokens", demand.input_tokens), ("output_tokens", demand.output_tokens)):
        if sizes.max() > 1:
            figures |= {f"{name}_p{share}": float(np.percentile(sizes, share)) for share in (50, 95, 99)}
    return figures


def hour_of_day(demand: Demand) -> FloatArray:
    """Return the mean rate of each hour of the day, float64[24]."""
    means: FloatArray = weekly_blocks(demand, 0.0).mean_rate_per_s.reshape(7, 24).mean(axis=0)
    return means


def draw_chart(rate_per_s: FloatArray, width: int) -> str:
    """Return the rates as a row of at most ``width`` bars, each the largest of its stretch.

    >>> draw_chart(np.array([0.0, 1.0, 2.0, 4.0]), 4)
    '▁▂▄█'
    """
    stretches = np.array_split(rate_per_s, min(width, len(rate_per_s)))
    heights = np.array([stretch.max() for stretch in stretches]) / max(float(rate_per_s.max()), 1e-300)
    return "".join(_BARS[int(np.ceil(height * len(_BARS))) - 1 if height > 0 else 0] for height in heights)


# ----------------------------------------------------------------------------------------------------------------- the YAML


def models() -> dict[str, dict[str, str]]:
    """Return the models a first workload may begin with, by name."""
    with Path(__file__).with_name("starts.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def find_model(name: str) -> dict[str, str]:
    """Return one of ``models``; raise ``UnknownNameError``."""
    known = models()
    if name not in known:
        raise build_unknown_name_error(name, kind="model to begin with", known=known)
    return known[name]


def begin(asked: InitAnswers, out: Path, book: PriceNames, *, force: bool) -> tuple[Path, Demand]:
    """Write ``out/workload.yaml`` and return it with the traffic it loads; what exists is replaced only with ``force``.

    It is loaded under a temporary name first, so a failure leaves nothing behind.
    """
    target = out / "workload.yaml"
    if target.exists() and not force:
        what = "the file exists"
        raise InputError(what, resolve="give another --out, or --force to replace it", where=Where(target))
    text = _workload_text(asked, out, book)
    draft, fresh = out / f".workload.{secrets.token_hex(4)}.yaml", not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        demand = load_workload(draft, book).classes[0].demand
        draft.replace(target)
    except OSError as error:
        what = f"cannot write to {out}: {error.strerror or error}"
        raise InputError(what, resolve="give --out a folder you may write to", where=Where(out)) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            if fresh and out.is_dir() and not any(out.iterdir()):
                out.rmdir()
    return target, demand


def _workload_text(asked: InitAnswers, out: Path, book: PriceNames) -> str:
    """Return the commented YAML; what the user gave is checked first, so that an error names the option."""
    for promise in asked.slo:
        _check_promise(promise)
    for region in asked.regions:
        book.check_region("aws", region)
    traffic, tokens = _traffic_section(asked, out)
    model = asked.model or ("llama-3.1-8b" if tokens else "resnet50")
    row = find_model(model)
    if row["engine"] == "token" and not tokens:
        what = f"{model} is a token model, and how many tokens a request has is not known"
        raise InputError(what, resolve="give --input-tokens and --output-tokens, or --model resnet50")
    template = Template(Path(__file__).with_name("start.template.yaml").read_text(encoding="utf-8"))
    return template.substitute(
        name=json.dumps(re.sub(r"[^A-Za-z0-9._-]+", "-", asked.name).strip("-._")[:80] or "workload"),
        traffic=traffic,
        slo=_listed(asked.slo or PROMISES[row["engine"]]) + ("" if asked.slo else " # assumed"),
        model="\n  ".join(_model_lines(model, row)),
        regions=_listed(asked.regions),
        families=_listed(FAMILIES[row["engine"]]),
        offers=_listed(sorted(registry.load_offers())),
        today=_today_section(asked, model, row, book),
    )


def _traffic_section(asked: InitAnswers, out: Path) -> tuple[str, bool]:
    """Return the YAML of how many requests come and how large they are, and whether they have tokens."""
    sizes = _sizes_section(asked.input_tokens, asked.output_tokens)
    if asked.trace is not None:
        demand, section = read_trace(asked.trace, out, _pairs(asked.columns), asked.time_unit, asked.gaps)
        return "\n    ".join(filter(None, [section, sizes])), bool(sizes) or int(demand.input_tokens.max()) > 1
    mean = asked.rate_per_s or 0.0
    peak = asked.peak_per_s or 1.5 * mean
    if not 0 < mean <= peak <= 2 * mean:
        what = f"got a mean of {mean:g} and a peak of {peak:g} requests per second, expected a peak of 1 to 2 times the mean"
        raise InputError(what, resolve="correct --rate or --peak; a steeper day needs a --trace of rates")
    section = f"daily: {{mean_per_s: {mean:g}, peak_per_s: {peak:g}, peak_hour: {asked.peak_hour:g}}}"
    return "\n    ".join(filter(None, [section, sizes])), bool(sizes)


def _listed(names: Sequence[str]) -> str:
    """Return a YAML list in one line."""
    return f"[{', '.join(names)}]"


def _check_promise(text: str) -> None:
    """Refuse a promise that could not be read."""
    try:
        parse_slo(text)
    except ValueError as error:
        raise InputError(str(error), resolve="give --slo as 'latency p99 <= 100 ms'") from error


def _model_lines(name: str, row: Mapping[str, str]) -> list[str]:
    """Return one model and its precisions."""
    lines = [f"{name}: # {row['source']}", f"  engine: {row['engine']}"]
    if row["engine"] == "request":
        variant = f"{{precision: int8, quality: 1.0, size: {row['size_mb']} MB, serves: {{requests: 100 %}}}}"
        return [
            *lines,
            f"  profile: {name} # the name under which published profiles know it",
            "  variants:",
            f"    int8: {variant}",
        ]
    sizes = ", ".join(f"{field}: {row[field]}" for field in ("parameters", "layers", "kv_heads", "head_dim"))
    return [
        *lines,
        f"  architecture: {{{sizes}}}",
        "  variants:",
        "    fp16: {precision: fp16, quality: 1.0, serves: {requests: 100 %}}",
        "    int8: {precision: int8, quality: 0.99, serves: {requests: 100 %}} # quality assumed: measure it",
    ]


def _today_section(asked: InitAnswers, model: str, row: Mapping[str, str], book: PriceNames) -> str:
    """Return what runs now, or how to say it."""
    if not asked.today:
        pool = f"machine: g4dn.xlarge, region: {asked.regions[0]}, variant: {model}/int8, machines: 4, classes: [requests]"
        return f"# today: # what runs now, to compare with\n#   - {{{pool}}}"
    match = _TODAY.fullmatch(asked.today)
    if match is None:
        what = f"got --today {asked.today!r}, expected a number and a machine"
        raise InputError(what, resolve="write it as '4 x g4dn.xlarge'")
    machine = book.machine(match[2])
    room_bytes = machine.accelerator_memory_gib * GIB * MEMORY_SHARE
    precisions = PRECISIONS[row["engine"]]
    fits = (name for name in precisions if float(row["parameters"] or 0) * BYTES_PER_PARAMETER[name] <= room_bytes)
    variant = f"{model}/{next(fits, precisions[-1])}"
    pool = f"machine: {machine.name}, region: {asked.regions[0]}, variant: {variant}, machines: {match[1]}, offer: on-demand"
    return f"today:\n  - {{{pool}, classes: [requests]}}"


def _pairs(stated: Sequence[str]) -> dict[str, str]:
    """Return role → column from ``role=column``."""
    pairs = dict(text.split("=", 1) for text in stated if "=" in text)
    unknown = next((role for role in pairs if role not in DEMAND_ROLES), None)
    if unknown is not None:
        raise build_unknown_name_error(unknown, kind="column role", known=DEMAND_ROLES)
    if len(pairs) < len(stated):
        what = f"got --column {' '.join(stated)}, expected each as role=column, each role once"
        raise InputError(what, resolve="write it as '--column time=started_at'")
    return pairs


def _sizes_section(input_tokens: int | None, output_tokens: int | None) -> str:
    """Return the YAML of one fixed size, empty where none is given; one of the two without the other raises."""
    if (input_tokens is None) != (output_tokens is None):
        what = "got one of --input-tokens and --output-tokens"
        raise InputError(what, resolve="give both, or neither")
    stated = f"{{input_tokens: {input_tokens}, output_tokens: {output_tokens}}}"
    return "" if input_tokens is None else f"sizes: {stated} # assumed the same for all"


def print_start(target: Path, demand: Demand, console: Console) -> None:
    """Print a demand's rates, sizes and peaks as a small chart, and what to do next."""
    figures, width = describe(demand), max(min(console.width - 18, 72), 10)
    table = Table.grid(padding=(0, 2))
    table.add_row("traffic", f"{figures['requests']:,.0f} requests in {figures['days']:.4g} days · {demand.source}")
    table.add_row("rate", f"mean {figures['mean_per_s']:.4g}/s · peak {figures['peak_per_s']:.4g}/s in {demand.bin_s:g} s")
    table.add_row("", draw_chart(demand.rate_per_s, width))
    if figures["days"] >= 1:
        table.add_row(
            "hours 0–23", draw_chart(np.repeat(hour_of_day(demand), 2), 48) + f" busiest {figures['busiest_hour']:.0f} h"
        )
    for name in ("input_tokens", "output_tokens"):
        if f"{name}_p50" in figures:
            shares = " · ".join(f"p{share} {figures[f'{name}_p{share}']:,.0f}" for share in (50, 95, 99))
            table.add_row(name.replace("_", " "), shares)
    console.print(table, highlight=False)
    console.print(f"\nwrote {target}\nnext  tightrope plan {target} --out out", highlight=False, soft_wrap=True, markup=False)
