"""What compression says: intervals, cascades, the front, and the verb from end to end."""

import io
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from onnx import helper, numpy_helper
from rich.console import Console
from tests.perf.compress_models import write_encoder, write_texts
from typer.testing import CliRunner

from tightrope.base.errors import InputError
from tightrope.cli import app
from tightrope.cli import compress as verb
from tightrope.clouds.book import load_price_book
from tightrope.demand.schema import ModelSpec, VariantSpec
from tightrope.demand.schema_levers import CascadeSpec
from tightrope.perf.compress import variant_search
from tightrope.perf.compress.cascade import PairAnswers, calibrate, fit_words
from tightrope.perf.compress.quality import accuracy, find_metric, fit_head, judge, macro_f1
from tightrope.perf.compress.task import VariantTrial
from tightrope.perf.compress.variant_search import CompressionResult
from tightrope.perf.compress.variant_speed import VariantSpeed, compare_speeds
from tightrope.perf.measure import sweep

RUN = CliRunner()


# ------------------------------------------------------------------------------------------------------------------ judging


def test_the_interval_of_a_drop_is_that_of_pairs() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 1000)
    right = np.where(random.random(1000) < 0.7, labels, 3 - labels)
    same = judge(accuracy, labels, right, right, np.ones(1000), 1)
    assert (same.drop, same.drop_low, same.drop_high, same.agreement) == (0.0, 0.0, 0.0, 1.0)
    assert same.low < same.metric < same.high
    worse = np.where(np.arange(1000) % 20 == 0, 3 - labels, right)
    found = judge(accuracy, labels, right, worse, np.ones(1000), 1)
    assert found.drop_low <= found.drop <= found.drop_high
    assert found.drop_high - found.drop_low < found.high - found.low


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    hits = 0
    for draw in range(60):
        labels = np.zeros(300, np.int64)
        original = (random.random(300) > 0.8).astype(np.int64)
        ours = np.where(random.random(300) < 0.1, 1, original)
        found = judge(accuracy, labels, original, ours, np.ones(300), draw)
        hits += found.drop_low <= 0.08 <= found.drop_high
    assert hits >= 52


def test_a_head_tells_apart_what_can_be_told_apart() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    vectors = (np.eye(3)[labels] @ random.normal(size=(3, 8)) * 3 + random.normal(size=(300, 8)) * 0.3).astype(np.float32)
    head = fit_head(vectors[:200], labels[:200], 3)
    assert accuracy(labels[200:], head.scores(vectors[200:]).argmax(axis=1)) > 0.97


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return float('nan')", "is nan on 2 examples"),
        ("return 1 / 0", "fails .ZeroDivisionError"),
        ("return 'good'", "fails .ValueError"),
    ],
)
def test_a_metric_of_ones_own_that_fails_is_told(body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metric.py").write_text(f"def score(labels, predicted):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)
    with pytest.raises(InputError, match=says):
        find_metric("own_metric:score")(np.array([0, 1]), np.array([0, 1]))


def test_quality_is_a_share_of_a_metric_above_0(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loss_metric.py").write_text("def loss(labels, predicted):\n    return -float((labels != predicted).mean())\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, said = compress(folder, tmp_path / "out", "--metric", "loss_metric:loss")
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert "quality is stated as a share of it" in said


def test_metrics_are_found_by_name_or_by_place() -> None:
    assert find_metric("macro-f1") is macro_f1
    labels, said = np.array([0, 1, 1]), np.array([0, 1, 0])
    assert find_metric("tightrope.perf.compress.quality:accuracy")(labels, said) == accuracy(labels, said)
    with pytest.raises(InputError, match="unknown metric 'accurracy'"):
        find_metric("accurracy")
    with pytest.raises(InputError, match="cannot be imported"):
        find_metric("tightrope.no_such:metric")


# ------------------------------------------------------------------------------------------------------------------ cascades


def answered(seed: int, small_right: float, large_right: float) -> PairAnswers:
    """Return two models' answers; the small one is sure where it is right, mostly."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, 2000)

    def model(share: float) -> np.ndarray:
        right = random.random(2000) < share
        says = np.where(right, labels, (labels + 1) % 3)
        sure = np.where(right, random.uniform(0.5, 1.0, 2000), random.uniform(0.34, 0.8, 2000))
        scores = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
        scores[np.arange(2000), says] = sure
        return scores

    return PairAnswers(labels, model(small_right), model(large_right))


def test_a_cascade_reaches_parity_on_what_it_was_not_chosen_on() -> None:
    found = calibrate(("small", "large"), answered(1, 0.7, 0.8), answered(2, 0.7, 0.8), accuracy)
    assert found.parity is not None
    assert 0.05 < found.parity < 0.6
    assert found.steps[0].escalated == 0.0
    assert found.steps[0].metric == pytest.approx(found.small_metric)
    assert "go on to it" in found.notice
    curve = [{"escalated": f"{100 * point['escalated']:g} %", "quality": point["quality"]} for point in found.curve()]
    CascadeSpec.model_validate({"small": "m/small", "large": "m/large", "within": "50 ms", "curve": curve})


def test_parity_is_not_chosen_by_what_it_is_stated_on() -> None:
    chosen = answered(1, 0.7, 0.8)
    found = [calibrate(("small", "large"), chosen, answered(seed, 0.7, 0.8), accuracy) for seed in range(2, 8)]
    margins_ = {next(step.margin for step in item.steps if step.escalated == item.parity) for item in found}
    assert len(margins_) == 1, "whatever is held out"
    for item in found:
        step = next(step for step in item.steps if step.escalated == item.parity)
        assert step.chosen_metric >= accuracy(chosen.labels, chosen.large.argmax(axis=1))
        assert item.parity_metric == step.metric


def test_a_cheap_model_that_is_simply_better_is_noticed() -> None:
    found = calibrate(("words", "large"), answered(1, 0.85, 0.75), answered(2, 0.85, 0.75), accuracy)
    assert found.parity == 0.0
    assert "serve it alone" in found.notice


def test_a_cascade_that_never_gets_there_says_so() -> None:
    held = answered(2, 0.3, 0.9)
    found = calibrate(("small", "large"), answered(1, 0.3, 0.9), held, accuracy)
    assert found.parity is None
    assert "never as good" in found.notice


def test_plain_word_counts_are_a_model() -> None:
    texts = [f"{'rain cloud storm' if place % 2 else 'stock bond share'} w{place % 7}" for place in range(60)]
    labels = np.arange(60) % 2
    model = fit_words(texts[:40], labels[:40], 2)
    assert accuracy(labels[40:], model.scores(texts[40:]).argmax(axis=1)) == 1.0


# -------------------------------------------------------------------------------------------------------------------- search


def trial(name: str, metric: float) -> VariantTrial:
    """Return a variant of which only its metric matters."""
    labels = np.zeros(100, np.int64)
    wrong = (np.arange(100) >= 100 * metric).astype(np.int64)
    judged = judge(accuracy, labels, labels, wrong, np.ones(100), 1)
    return VariantTrial(name, "int8", b"", "", judged, judged, {}, batch_variant=False, alone=1.0)


def test_the_front_is_what_nothing_beats() -> None:
    speeds = {
        name: VariantSpeed(1.0, 1.0, ratio, 0.1, 1.0, 1.0) for name, ratio in (("fp32", 1.0), ("a", 2.0), ("b", 1.5), ("c", 4.0))
    }
    trials = [trial("fp32", 0.9), trial("a", 0.9), trial("b", 0.8), trial("c", 0.7)]
    assert variant_search.front_of(trials, speeds) == {"a", "c"}


def test_a_whole_variant_is_beaten_by_whole_ones_alone() -> None:
    speeds = {
        name: VariantSpeed(1.0, 1.0, ratio, 0.1, 1.0, 1.0) for name, ratio in (("fp32", 1.0), ("a", 2.0), ("b", 1.5), ("c", 3.0))
    }
    trials = [trial("fp32", 0.9), trial("a", 0.8), trial("b", 0.8), replace(trial("c", 0.9), pruned=True)]
    assert variant_search.front_of(trials, speeds) == {"fp32", "a", "c"}


# ---------------------------------------------------------------------------------------------------------------------- verb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the encoder, its tokenizer and labelled texts."""
    place = tmp_path_factory.mktemp("verb")
    write_encoder(place)
    write_texts(place / "texts.csv")
    return place


def compress(folder: Path, out: Path, *more: str) -> tuple[int, str]:
    """Return the exit code and the output of the verb."""
    command = ["perf", "compress", str(folder / "encoder.onnx"), "--data", str(folder / "texts.csv"), "--out", str(out), *more]
    done = RUN.invoke(app, command)
    if isinstance(done.exception, InputError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_from_a_model_to_variants_that_a_workload_takes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant_search, "compare_speeds", partial(compare_speeds, seconds=0.02, rounds=2))
    asked = (
        "--prune",
        "neurons=0.5",
        "--lessons",
        "5",
        "--quantise",
        "int8,int8-dynamic",
        "--max-drop",
        "10pt",
        "--length",
        "16",
    )
    code, said = compress(folder, tmp_path / "out", *asked, "--json")
    assert code == 0, said
    record = json.loads(said[said.index("{") :])
    assert [item["name"] for item in record["variants"]] == ["fp32", "int8", "int8-dynamic", "less-50n", "less-50n-int8"]
    assert json.loads((tmp_path / "out" / "variants.json").read_text()) == record
    by_name = {item["name"]: item for item in record["variants"]}
    assert not by_name["int8"]["batch_variant"]
    assert by_name["less-50n-int8"]["size_mb"] < by_name["int8"]["size_mb"] < by_name["fp32"]["size_mb"]
    assert {item["small"] for item in record["cascades"]} >= {"tf-idf"}
    block = yaml.safe_load((tmp_path / "out" / "variants.yaml").read_text())
    ModelSpec.model_validate(block["models"]["encoder"])
    for name, entry in block["models"]["encoder"]["variants"].items():
        assert entry["quality"] == by_name[name]["quality"]
        assert entry.get("pruned", False) == by_name[name]["pruned"] == name.startswith("less-")
        onnxruntime.InferenceSession(tmp_path / "out" / f"{name}.onnx", providers=["CPUExecutionProvider"])


def here_is(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have as many cores as that type."""
    vcpu = load_price_book().machine(machine).vcpu
    monkeypatch.setattr("os.cpu_count", lambda: vcpu)


SMALLER = ("--prune", "none", "--quantise", "int8", "--max-drop", "100pt", "--length", "8", "--machine", "c7i.large")


def test_with_a_machine_every_variant_has_a_profile_that_a_workload_takes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variant_search, "compare_speeds", partial(compare_speeds, seconds=0.02, rounds=2))
    monkeypatch.setattr(sweep, "SweepOptions", partial(sweep.SweepOptions, seconds=0.05))
    here_is("c7i.large", monkeypatch)
    code, said = compress(folder, tmp_path / "out", *SMALLER, "--max-noise", "1024", "--precision", "1000", "--json")
    assert code == 0, said
    variants = yaml.safe_load((tmp_path / "out" / "variants.yaml").read_text())["models"]["encoder"]["variants"]
    assert "fp32" in variants
    for name, entry in variants.items():
        (profile,) = VariantSpec.model_validate(entry).profiles
        assert (profile.machine, profile.kind) == ("c7i.large", "measured")
        assert len(entry["profiles"][0]["service_ms"]) == 16
        assert "100% of length 8" in profile.source
        assert profile.error_band >= 0.03
        assert (tmp_path / "out" / f"{name}.onnx").is_file()


def test_the_speed_of_a_model_of_arrays_is_measured_at_their_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant_search, "compare_speeds", partial(compare_speeds, seconds=0.02, rounds=2))
    monkeypatch.setattr(sweep, "SweepOptions", partial(sweep.SweepOptions, seconds=0.05))
    here_is("c7i.large", monkeypatch)
    write_pictures(tmp_path)
    asked = (*SMALLER, "--data", str(tmp_path / "pictures.npz"), "--max-noise", "1024", "--precision", "1000")
    command = ["perf", "compress", str(tmp_path / "pictures.onnx"), "--out", str(tmp_path / "out"), *asked]
    result = RUN.invoke(app, command)
    assert result.exit_code == 0, result.exception
    variants = yaml.safe_load((tmp_path / "out" / "variants.yaml").read_text())["models"]["pictures"]["variants"]
    assert len(variants["fp32"]["profiles"][0]["service_ms"]) == 16


def write_pictures(folder: Path) -> None:
    """Write a model of pictures of 4 by 5 that leaves both sides open, and labelled pictures."""
    random = np.random.default_rng(0)
    held = {"flat": np.array([-1, 20]), "w": random.normal(0, 1, (20, 2)).astype(np.float32)}
    nodes = [helper.make_node("Reshape", ["x", "flat"], ["row"]), helper.make_node("MatMul", ["row", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(name, 1, axes) for name, axes in (("x", ["b", "h", "w_"]), ("y", ["b", 2]))]
    constants = [numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "pictures", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "pictures.onnx").write_bytes(model.SerializeToString())
    pictures = random.normal(0, 1, (300, 4, 5)).astype(np.float32)
    np.savez(folder / "pictures.npz", x=pictures, label=(pictures.reshape(300, 20) @ held["w"]).argmax(axis=1))


def test_a_machine_too_noisy_for_profiles_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variant_search, "compare_speeds", partial(compare_speeds, seconds=0.02, rounds=2))
    monkeypatch.setattr(sweep, "SweepOptions", partial(sweep.SweepOptions, seconds=0.05))
    monkeypatch.setattr(sweep, "others", lambda *_: 0.9)
    here_is("c7i.large", monkeypatch)
    code, said = compress(folder, tmp_path / "out", *SMALLER)
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert "other programs took 0.90 cores (at most 0.15 may)" in said


def test_nothing_beyond_the_budget_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant_search, "compare_speeds", partial(compare_speeds, seconds=0.02, rounds=2))
    asked = ("--prune", "layers=1", "--lessons", "0", "--quantise", "none", "--sure", "--max-drop", "0pt", "--json")
    code, said = compress(folder, tmp_path / "out", *asked)
    assert code == 0, said
    record = json.loads(said[said.index("{") :])
    _, cut = record["variants"]
    assert not cut["within_budget"]
    assert any("nothing smaller keeps within the budget" in notice for notice in record["notices"])
    there = {path.name for path in (tmp_path / "out").glob("*.onnx")}
    assert there == ({"fp32.onnx", "less-1l.onnx"} if cut["cascade_only"] else {"fp32.onnx"})
    assert (tmp_path / "out" / "cascade-less-1l.yaml").exists() == cut["cascade_only"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_figure_is_cut_short_on_a_narrow_console(width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    names = ("fp32", "int8-dynamic", "less-3l-50n-int8")
    trials = [replace(trial(name, 0.7123), batch_variant=name == "int8-dynamic") for name in names]
    speeds = {name: VariantSpeed(100.0, 1.0, 12.34, 0.56, 1.0, 1.0) for name in names}
    verb._print(console, CompressionResult(trials, speeds, frozenset(names), frozenset(names), (), ()), Path("out"), {})
    assert isinstance(console.file, io.StringIO)
    first, *lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for line in lines[:3]:
        assert "+28.00" in line
        assert "12.34 ± 0.56" in line
        assert "written" in line
    assert ("agrees" in first) != any("no room here for" in line and "agrees" in line for line in lines)


def test_a_file_in_the_place_of_the_folder_is_said_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    code, said = compress(folder, tmp_path / "out")
    assert (code, (tmp_path / "out").read_text()) == (2, "mine")
    assert "the output folder is a file" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--max-drop", "0.5"), "expected points"),
        (("--quantise", "int9"), "unknown way to quantise 'int9'"),
        (("--prune", "layers=2.5"), "expected such as layers=2"),
        (("--prune", "neurons=1.5"), "shares being below 1"),
        (("--metric", "acuracy"), "unknown metric"),
        (("--head", "mine"), "unknown head"),
        (("--calibration", "guess"), "unknown calibration"),
        (("--tokenizer", "none.json"), "no tokenizer|there is none at"),
        (("--text", "body"), "unknown column 'body'"),
        (("--train", "no.csv"), "no such file"),
        (("--machine", "no.such"), "no.such"),
        (("--prune", "layers=2", "--quantise", "none"), "2 layers are to be taken out"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_written(
    more: tuple[str, ...], says: str, folder: Path, tmp_path: Path
) -> None:
    code, said = compress(folder, tmp_path / "out", *more)
    assert code == 2
    assert any(part in said for part in says.split("|")), said
    assert not (tmp_path / "out").exists()
