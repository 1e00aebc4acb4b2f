"""``tightrope perf compress``: a model made smaller, what that costs on held-out examples, and the variants that a workload takes."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tightrope.base.errors import InputError, Where, build_unknown_name_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tightrope.perf.compress.examples import Examples, TextColumns
    from tightrope.perf.compress.graph import Graph
    from tightrope.perf.compress.prune import PruningCut
    from tightrope.perf.compress.task import Splits
    from tightrope.perf.compress.variant_search import CompressionResult, SearchLimits

ALL = "int8,int8-dynamic,fp16,int4"
"""Every way to quantise."""


def compress(
    model: Annotated[Path, typer.Argument(metavar="MODEL.ONNX", help="The model in float32; external data lies beside it.")],
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Labelled examples: .csv, .tsv, .jsonl of texts, or .npz of arrays.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the models, variants.json and variants.yaml.")],
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Examples to fit on, where they are a file apart; half of --data where left out."),
    ] = None,
    max_drop: Annotated[
        str, typer.Option(metavar="POINTS", help="Largest loss of the metric that is written, such as 0.5pt.")
    ] = "0.5pt",
    sure: Annotated[bool, typer.Option("--sure", help="Hold the loss's 95 % interval against it, not the loss alone.")] = False,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="accuracy, macro-f1, or package.module:function of your own.")
    ] = "accuracy",
    kinds: Annotated[str, typer.Option("--quantise", metavar="KIND,...", help="int8, int8-dynamic, fp16, int4; none.")] = ALL,
    prune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CUT", help="layers=N,neurons=SHARE,heads=SHARE; none; may be repeated. Searched for where left out."
        ),
    ] = None,
    tries: Annotated[int, typer.Option(min=0, max=1000, help="Most cuts that are searched.")] = 4,
    lessons: Annotated[int, typer.Option(min=0, max=100_000, help="Steps of distillation after each cut; 0 is none.")] = 150,
    rate: Annotated[float, typer.Option(min=1e-7, max=1.0, help="How fast is learned.")] = 5e-4,
    calibration: Annotated[
        str, typer.Option(metavar="METHOD", help="minmax, percentile, entropy; the best where left out.")
    ] = "",
    head: Annotated[
        str, typer.Option(metavar="WHOSE", help="original, or own: a head fitted to each variant's vectors.")
    ] = "original",
    text: Annotated[str, typer.Option(metavar="COLUMN", help="Of the texts.")] = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Of the labels.")] = "label",
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="tokenizer.json; found beside the model where left out.")
    ] = None,
    length: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, help="Tokens of a text that are kept, and that speed is measured at; arrays have their own."
        ),
    ] = 64,
    machine: Annotated[
        str, typer.Option(metavar="NAME", help="The machine type that this is: measures a profile of each variant.")
    ] = "",
    traffic: Annotated[
        str, typer.Option("--class", metavar="NAME", help="The traffic class that the variants serve.")
    ] = "requests",
    name: Annotated[str, typer.Option(metavar="NAME", help="What the model is called; its file's name where left out.")] = "",
    max_noise: Annotated[
        float, typer.Option(min=0, max=1024, help="Cores that others may take while a profile is measured.")
    ] = 0.15,
    precision: Annotated[float, typer.Option(min=0.001, max=1000, help="How well a profile's means must be known.")] = 0.03,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the lessons and the intervals.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print what variants.json holds.")] = False,
) -> None:
    """Make an ONNX model smaller: quantise, prune, distil; verify on held-out examples; write what keeps within the budget."""
    from rich.console import Console

    from tightrope.perf.compress.examples import TextColumns
    from tightrope.perf.compress.graph import load_graph
    from tightrope.perf.compress.quality import find_metric
    from tightrope.perf.compress.variant_search import compress as search

    _check_out(out)
    asked = _asked(max_drop, kinds, prune, tries, lessons, rate, calibration, head, sure=sure, seed=seed)
    judged_by = find_metric(metric)
    name = name or re.sub(r"[^a-z0-9-]+", "-", model.stem.lower()).strip("-")
    with Console(stderr=True).status("load the model") as status:
        graph = load_graph(model)
        _check_machine(machine)
        columns = TextColumns(text, label, tokenizer or _tokenizer(model), length)
        splits = _splits(graph, data, train, columns, seed)
        shapes = _shapes(graph, splits.test, length)
        found = search(graph, splits, judged_by, asked, shapes, status.update)
        stated = shapes if splits.test.lengths is None else {}
        profiles = _profiles(found, machine, length, stated, max_noise, precision, status.update) if machine else {}
        record, files = _files(found, name, traffic, metric, profiles)
        _write(out, files)
    if as_json:
        typer.echo(json.dumps(record))
    else:
        _print(Console(), found, out, files)


def _asked(
    max_drop: str,
    kinds: str,
    prune: list[str] | None,
    tries: int,
    lessons: int,
    rate: float,
    calibration: str,
    head: str,
    *,
    sure: bool,
    seed: int,
) -> "SearchLimits":
    """Return what may be tried; raise ``InputError`` where an option says nothing that can be."""
    from tightrope.perf.compress.distil import Lessons
    from tightrope.perf.compress.tensor_ranges import METHODS
    from tightrope.perf.compress.variant_search import KINDS, SearchLimits

    wanted = tuple(kind.strip() for kind in kinds.split(",")) if kinds != "none" else ()
    for kind in wanted:
        if kind not in KINDS:
            raise build_unknown_name_error(kind, kind="way to quantise", known=KINDS)
    if calibration and calibration not in METHODS:
        raise build_unknown_name_error(calibration, kind="calibration", known=METHODS)
    if head not in {"original", "own"}:
        raise build_unknown_name_error(head, kind="head", known=("original", "own"))
    none = prune == ["none"]
    cuts = tuple(_cut(item) for item in prune or []) if not none else ()
    return SearchLimits(
        max_drop=_points(max_drop),
        kinds=wanted,
        cuts=cuts,
        tries=0 if none else tries,
        lessons=Lessons(steps=lessons, rate=rate, seed=seed) if lessons else None,
        method=calibration,
        own_head=head == "own",
        sure=sure,
        seed=seed,
    )


def _points(text: str) -> float:
    """Return a loss in points as a share of 1.

    >>> _points("0.5pt")
    0.005
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:pt|points?)", text.strip())
    if found is None:
        msg = f"--max-drop is {text!r}, expected points of the metric with their unit, such as 0.5pt"
        raise InputError(msg, resolve="correct --max-drop")
    return float(found.group(1)) / 100


def _cut(text: str) -> "PruningCut":
    """Return a cut from ``layers=2,neurons=0.5,heads=0.25``."""
    from tightrope.perf.compress.prune import PruningCut

    if re.fullmatch(r"(layers=\d+|(neurons|heads)=0?\.\d+)(,(layers=\d+|(neurons|heads)=0?\.\d+))*", text) is None:
        msg = f"--prune is {text!r}, expected such as layers=2,neurons=0.5,heads=0.25, shares being below 1"
        raise InputError(msg, resolve="correct --prune")
    parts = dict(part.split("=") for part in text.split(","))
    return PruningCut(int(parts.get("layers", 0)), float(parts.get("neurons", 0)), float(parts.get("heads", 0)))


def _check_out(out: Path) -> None:
    """Refuse a file as the folder, before anything takes time."""
    if out.exists() and not out.is_dir():
        msg = "the output folder is a file"
        raise InputError(msg, resolve="give --out a folder, or remove the file", where=Where(out))


def _check_machine(machine: str) -> None:
    """Refuse a machine that this one cannot be, before anything takes time."""
    if machine:
        from tightrope.cli.perf import check_cores
        from tightrope.clouds.book import load_price_book

        check_cores(machine, load_price_book().machine(machine).vcpu)


def _tokenizer(model: Path) -> Path | None:
    """Return the tokenizer that lies beside a model, or one folder up."""
    return next((path for folder in (model.parent, model.parent.parent) if (path := folder / "tokenizer.json").is_file()), None)


def _inputs(graph: "Graph") -> list[tuple[str, int, list[Any]]]:
    """Return name, type and shape (numbers, or names where open) of the model's inputs."""
    return [
        (
            item.name,
            item.type.tensor_type.elem_type,
            [axis.dim_value or axis.dim_param for axis in item.type.tensor_type.shape.dim],
        )
        for item in graph.model.graph.input
        if item.name not in graph.constants
    ]


def _shapes(graph: "Graph", examples: "Examples", length: int) -> dict[str, tuple[int, ...]]:
    """Return the shape that speed is measured at: that of the arrays where examples are arrays, else texts of so many tokens."""
    from tightrope.perf.compress.variant_speed import shapes_of

    if examples.lengths is None:
        return {name: value.shape[1:] for name, value in examples.inputs.items()}
    return shapes_of([(name, shape) for name, _, shape in _inputs(graph)], length)


def _splits(graph: "Graph", data: Path, train: Path | None, columns: "TextColumns", seed: int) -> "Splits":
    """Return the examples: half to fit on and a fifth to choose by where there is one file, a third to choose by where there are two."""
    from tightrope.perf.compress.examples import load_examples, split
    from tightrope.perf.compress.task import Splits

    types = {1: "tensor(float)", 6: "tensor(int32)"}
    inputs = [(name, types.get(kind, "tensor(int64)")) for name, kind, _ in _inputs(graph)]
    if train is None:
        return Splits(*split(load_examples(data, inputs, columns), (0.5, 0.2, 0.3), seed))
    fit = load_examples(train, inputs, columns)
    return Splits(fit, *split(load_examples(data, inputs, columns, fit.classes), (0.33, 0.67), seed))


def _profiles(
    found: "CompressionResult",
    machine: str,
    length: int,
    stated: dict[str, tuple[int, ...]],
    noise: float,
    precision: float,
    progress: "Callable[[str], None]",
) -> dict[str, dict[str, Any]]:
    """Return the profile of every variant that is written, measured as ``perf measure`` does, at one length or at ``stated`` shapes."""
    import tempfile

    from tightrope.base.units import today
    from tightrope.perf.compress.variants import written
    from tightrope.perf.measure.profile_entry import ProfileTarget, profile_of, workload_entry
    from tightrope.perf.measure.sweep import SweepOptions, measure_onnx

    profiles: dict[str, dict[str, Any]] = {}
    for trial in written(found):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{trial.name}.onnx"
            path.write_bytes(trial.model)
            asked = SweepOptions(
                path,
                lengths=(length,),
                batches=(1, 4, 16),
                shapes=tuple(stated.items()),
                precision=precision,
                most_noise_cores=noise,
            )
            measured = measure_onnx(asked, lambda text, name=trial.name: progress(f"{name}: {text}"))
        shares = ((max(point.length for point in measured.points), 1.0),)
        profiles[trial.name] = workload_entry(profile_of(measured, ProfileTarget(trial.name, machine, shares), today()))
    return profiles


def _files(
    found: "CompressionResult", name: str, traffic: str, metric: str, profiles: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[Path, str | bytes]]:
    """Return what variants.json holds, and all files."""
    import yaml

    from tightrope.perf.compress.variants import cascade_block, registered, useful, workload_block, written
    from tightrope.render.plain import as_text, plain

    record: dict[str, Any] = {
        "schema_version": 1,
        "model": name,
        "metric": metric,
        "variants": plain(registered(found)),
        "cascades": plain(found.cascades),
        "notices": list(found.notices),
    }
    block = workload_block(found, name, traffic, profiles)
    files: dict[Path, str | bytes] = {Path(f"{trial.name}.onnx"): trial.model for trial in written(found)}
    files[Path("variants.json")] = as_text(record) + "\n"
    head = "# For the workload; quality is the metric on held-out examples, the original's being 1.\n"
    if not profiles:
        head += (
            "# Without profiles: `tightrope perf measure FILE.onnx --machine NAME` on the machine that is to serve writes each.\n"
        )
    files[Path("variants.yaml")] = head + yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=130)
    for item in useful(found):
        within_ms = 10 * found.speeds[item.small].latency_ms
        text = yaml.safe_dump(cascade_block(item, name, round(within_ms, 1)), sort_keys=False, width=130)
        note = "# For a traffic class. `within` is ten times what the small model takes for one request alone: set it to your promise.\n"
        files[Path(f"cascade-{item.small}.yaml")] = f"# {item.notice}\n{note}{text}"
    return record, files


def _write(out: Path, files: dict[Path, str | bytes]) -> None:
    """Write everything or nothing."""
    from tightrope.render.files import write_files

    write_files(out, files)


def _print(console: "Console", found: "CompressionResult", out: Path, files: dict[Path, str | bytes]) -> None:
    """Print everything that was tried, what was written, and what should be known."""
    from tightrope.cli.entry import print_rows
    from tightrope.perf.compress.variants import registered
    from tightrope.render.terminal import plain_text

    rows: list[tuple[str, ...]] = []
    for item in registered(found):
        judged, speed = item.held_out, item.speed
        alone = "for a cascade" if item.cascade_only else "written"
        marks = [alone if item.file else "beaten" if item.within_budget else "over budget"]
        marks += ["batch-variant"] * item.batch_variant
        between = f"{100 * judged.drop_low:+.2f} … {100 * judged.drop_high:+.2f}"
        cells = (item.name, f"{item.size_mb:.1f}", f"{judged.metric:.4f}", f"{100 * judged.drop:+.2f}", between)
        rows.append((*cells, f"{judged.agreement:.1%}", f"{speed.ratio:.2f} ± {speed.ratio_half_width:.2f}", ", ".join(marks)))
    heads = {"variant": 0, "MB": 3, "metric": 2, "drop, points": 0, "95 %": 1, "agrees": 4, "× speed": 0, "": 0}
    print_rows(console, heads, rows, left=("variant", ""))
    for item in found.cascades:
        console.print(plain_text(f"cascade {item.small} → {item.large}: {item.notice}"))
    for notice in found.notices:
        console.print(plain_text(notice))
    typer.echo(f"wrote  {out}: {', '.join(str(path) for path in files)}")
