"""Measuring a model here: when a series is steady, what is refused, and what a workload gets."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from typer.testing import CliRunner

from tightrope.base.errors import InputError
from tightrope.cli import app
from tightrope.cli import perf as verb
from tightrope.demand.schema import ByLengthSpec, ProfileSpec
from tightrope.perf.measure import sweep
from tightrope.perf.measure.cpu_noise import Moment, look, others
from tightrope.perf.measure.engines import Engine, engines, run_all
from tightrope.perf.measure.profile_entry import ProfileTarget, engine_of, error_band, profile_of, workload_entry
from tightrope.perf.measure.steady_part import half_width, never_falling, steady_part, warm_up
from tightrope.perf.measure.sweep import ModelMeasurement, SweepOptions, SweepPoint, best_arrangement, measure_onnx

ANYHOW = {"seconds": 0.05, "precision": 1e9, "most_noise_cores": 1e9}
"""A test shares its machine: what it asserts holds however noisy that is."""


def tiny(folder: Path, shape: tuple[str | int, ...] = ("batch", "length", 8), *, opset: int = 17) -> Path:
    """Write a model that multiplies its input by a matrix."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 8], np.eye(8, dtype=np.float32).tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights],
    )
    path = folder / "tiny.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString())
    return path


def point(threads: int, engines: int, batch: int, length: int, mean_s: float, **other: float) -> SweepPoint:
    """Return a point of a sweep whose mean is known well."""
    return replace(SweepPoint(threads, engines, batch, length, mean_s, 0.01 * mean_s, mean_s, mean_s, 100, 5, 0.02), **other)


# ------------------------------------------------------------------------------------------------------------------ statistics


def test_a_warm_up_is_left_out_and_nothing_more() -> None:
    random = np.random.default_rng(7)
    times = np.concatenate([np.linspace(5.0, 1.1, 40), random.normal(1.0, 0.02, 400)])
    assert 30 <= warm_up(times) <= 60
    assert steady_part(times).mean_s == pytest.approx(1.0, abs=0.01)


def test_of_a_few_runs_the_first_is_left_out() -> None:
    assert (steady_part(np.array([9.0, 1.0, 1.0])).mean_s, steady_part(np.array([9.0])).mean_s) == (1.0, 9.0)


@pytest.mark.parametrize("rounds", [4, 16])
def test_the_interval_holds_the_mean_as_often_as_it_says_though_the_machine_drifts(rounds: int) -> None:
    random = np.random.default_rng(1)
    hits = {"apart": 0, "at once": 0}
    for _ in range(300):
        drift = 1.0 + 0.05 * random.standard_normal(rounds)
        means = [steady_part(speed * random.gamma(40.0, 0.025, 100)).mean_s for speed in drift]
        hits["apart"] += abs(np.mean(means) - 1.0) <= half_width(means)
        once = [steady_part(drift[0] * random.gamma(40.0, 0.025, 100)).mean_s for _ in range(rounds)]
        hits["at once"] += abs(np.mean(once) - 1.0) <= half_width(once)
    assert 0.90 <= hits["apart"] / 300 <= 0.99
    assert hits["at once"] / 300 < 0.6, "rounds within one stretch do not see the drift"


def test_one_round_says_nothing_about_the_mean() -> None:
    assert math.isinf(half_width([1.0]))


@given(st.lists(st.floats(0.001, 100.0), min_size=1, max_size=30))
def test_never_falling_keeps_the_mean_and_what_rises_already(values: list[float]) -> None:
    found = never_falling(np.array(values))
    assert np.all(np.diff(found) >= -1e-12)
    assert found.mean() == pytest.approx(np.mean(values))
    assert never_falling(np.sort(values)).tolist() == pytest.approx(sorted(values))


def test_what_others_take_is_what_is_busy_and_not_ours() -> None:
    assert others(Moment(0.0, 0.0, 0.0), Moment(10.0, 15.0, 10.0)) == pytest.approx(0.5)
    assert others(Moment(0.0, None, 0.0), Moment(10.0, None, 1.0)) is None
    assert others(Moment(0.0, 1.0, 0.0), Moment(10.0, 1.5, 1.0)) == 0.0
    assert look([]).ours_s == 0.0


# ------------------------------------------------------------------------------------------------------------------- the sweep


def test_every_shape_is_measured_on_every_arrangement(tmp_path: Path) -> None:
    asked = SweepOptions(tiny(tmp_path), batches=(1, 2), lengths=(4, 16), threads=(1,), **ANYHOW)
    found = measure_onnx(asked)
    assert {(item.threads, item.batch, item.length) for item in found.points} == {(1, b, n) for b in (1, 2) for n in (4, 16)}
    assert all(item.mean_s > 0 and item.runs > 0 and item.engines >= 1 for item in found.points)
    assert found.load_s > 0
    assert found.cold_start_s > 0
    assert found.memory_mib > 10


def test_a_machine_that_is_too_noisy_is_told_how_noisy_it_is(tmp_path: Path) -> None:
    asked = SweepOptions(
        tiny(tmp_path), batches=(1,), lengths=(4,), threads=(1,), seconds=0.02, precision=1e-9, most_noise_cores=1e9
    )
    with pytest.raises(
        InputError, match=r"too noisy to measure on: .* other programs took [\d.]+ cores .* the mean is"
    ) as caught:
        measure_onnx(asked)
    assert "--max-noise" in caught.value.resolve


def test_a_round_in_which_others_took_too_much_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([0.9, 0.0, 0.1, 0.8, 0.1, 0.0])
    monkeypatch.setattr("tightrope.perf.measure.sweep.others", lambda *_: next(said))
    asked = SweepOptions(tiny(tmp_path), batches=(1,), lengths=(4,), threads=(1,), **ANYHOW | {"most_noise_cores": 0.15})
    (found,) = measure_onnx(asked).points
    assert found.noise_cores == pytest.approx(0.05), "of the four rounds that count"
    assert next(said, None) is None


def test_points_are_measured_in_turns(tmp_path: Path) -> None:
    said: list[str] = []
    measure_onnx(SweepOptions(tiny(tmp_path), batches=(1, 2), lengths=(4,), threads=(1,), **ANYHOW), said.append)
    assert [line.rpartition("round ")[2] for line in said] == [
        f"{number}, batch {batch}, length 4" for number in range(1, 5) for batch in (1, 2)
    ]


@pytest.mark.parametrize(
    ("shape", "asked", "says"),
    [
        (("batch", "h", "w"), {}, "more than its batch and one length are open"),
        ((2, "length", 8), {"batches": (1,)}, "is fixed at a batch of 2, got 1"),
        (("batch", "length", 8), {"batches": (0,)}, "--batch is 0"),
        (("batch", "length", 8), {"threads": (4096,)}, "--threads is 4096"),
    ],
    ids=["three open axes", "fixed batch", "batch of none", "threads"],
)
def test_what_can_not_be_measured_is_refused(
    tmp_path: Path, shape: tuple[str | int, ...], asked: dict[str, tuple[int, ...]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        measure_onnx(SweepOptions(tiny(tmp_path, shape), **({"threads": (1,)} | asked), **ANYHOW))


def test_an_input_that_the_model_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown input 'pixel'"):
        measure_onnx(SweepOptions(tiny(tmp_path), batches=(1,), threads=(1,), shapes=(("pixel", (3, 8)),), **ANYHOW))


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.STRING])
def test_what_numbers_a_model_takes_is_made_up_and_texts_are_not(kind: int, tmp_path: Path) -> None:
    cast = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    ends = [helper.make_tensor_value_info("x", kind, ["batch", 8]), helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(cast, "cast", ends[:1], ends[1:])
    path = tmp_path / "cast.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10).SerializeToString())
    asked = SweepOptions(path, batches=(1,), threads=(1,), **ANYHOW)
    if kind == TensorProto.STRING:
        with pytest.raises(InputError, match=r"cannot be made up .*tensor\(string\)"):
            measure_onnx(asked)
    else:
        assert measure_onnx(asked).points[0].mean_s > 0


def test_engines_stay_on_the_cores_that_this_program_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = max(os.sched_getaffinity(0))
    with engines(tiny(tmp_path), 1, 1, [last]) as (running,):
        assert os.sched_getaffinity(running.process.pid) == {last}
    asked: list[tuple[int, list[int]]] = []

    @contextmanager
    def noted(_: Path, count: int, threads: int, cores: list[int]) -> Iterator[list[Engine]]:
        asked.append((count, cores))
        with engines(tmp_path / "tiny.onnx", count, threads) as running:
            yield running

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 3})
    monkeypatch.setattr(sweep, "engines", noted)
    measure_onnx(SweepOptions(tmp_path / "tiny.onnx", batches=(1,), lengths=(4,), threads=(1,), **ANYHOW))
    assert asked == [(1, [3, 5]), (2, [3, 5])]


def test_at_least_one_run_is_measured_however_little_time_there_is(tmp_path: Path) -> None:
    with engines(tiny(tmp_path), 1, 1) as running:
        shaped = [item | {"shape": [1, 4, 8]} for item in running[0].inputs]
        (answer,), _, _ = run_all(running, {"inputs": shaped, "seed": 1, "seconds": 0.0}, tmp_path / "tiny.onnx")
    assert len(answer["times_s"]) == 1


def test_a_stated_shape_closes_what_the_model_leaves_open(tmp_path: Path) -> None:
    asked = SweepOptions(tiny(tmp_path, ("batch", "h", "w")), batches=(1,), threads=(1,), shapes=(("x", (3, 8)),), **ANYHOW)
    assert [item.length for item in measure_onnx(asked).points] == [0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not a model", "not an ONNX model"),
        (b"", "refuses the model|not an ONNX model"),
        ("opset", "opset|refuses"),
        ("external", "external data|missing"),
    ],
    ids=["text", "empty", "future opset", "external data gone"],
)
def test_a_file_that_is_no_model_is_told_apart(tmp_path: Path, content: bytes | str, says: str) -> None:
    path = tiny(tmp_path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "opset":
        path = tiny(tmp_path, opset=99)
    else:
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=says) as caught:
        measure_onnx(SweepOptions(path, batches=(1,), lengths=(4,), threads=(1,), **ANYHOW))
    assert caught.value.resolve


# ------------------------------------------------------------------------------------------------------------------ the profile

SWEEP = ModelMeasurement(
    "m.onnx",
    2,
    (
        *(point(1, 2, batch, length, 1e-3 * batch * length / 10) for batch in (1, 2, 4) for length in (10, 30)),
        *(point(2, 1, batch, length, 0.6e-3 * batch * length / 10) for batch in (1, 2, 4) for length in (10, 30)),
    ),
    0.2,
    0.7,
    100.0,
)
MIX = ((10, 0.5), (30, 0.5))


def test_the_arrangement_that_answers_most_is_taken() -> None:
    assert best_arrangement(SWEEP, MIX) == 1, "2 engines at 1 ms an item beat 1 at 0.6 ms"
    assert best_arrangement(SWEEP, MIX, within_s=1.5e-3) == 2, "within 1.5 ms only the faster engine answers the mix"
    with pytest.raises(InputError, match=r"no batch is answered within 0\.1 ms"):
        best_arrangement(SWEEP, MIX, within_s=1e-4)


def test_a_workload_takes_the_profile() -> None:
    profile = profile_of(SWEEP, ProfileTarget("minilm/int8", "c7i.large", MIX), date(2026, 11, 25))
    entry = ProfileSpec.model_validate(yaml.safe_load(yaml.safe_dump(workload_entry(profile))))
    assert isinstance(entry.service_ms, ByLengthSpec)
    assert entry.service_ms.lengths == [10, 30]
    assert np.ravel(entry.service_ms.batches) == pytest.approx([1.0, 3.0, 2.0, 6.0, 3.0, 9.0, 4.0, 12.0])
    assert entry.replicas_per_machine == 2
    assert entry.kind == "measured"
    assert entry.error_band == pytest.approx(0.03)


def test_a_profile_of_one_length_is_a_list() -> None:
    one = replace(SWEEP, points=tuple(item for item in SWEEP.points if item.length == 30))
    profile = profile_of(one, ProfileTarget("minilm/int8", "c7i.large", ((30, 1.0),)), date(2026, 11, 25))
    assert workload_entry(profile)["service_ms"] == pytest.approx([3.0, 6.0, 9.0, 12.0])
    assert profile.provenance.note == "100% of length 30"


def test_a_longer_batch_never_takes_less_time_in_a_profile() -> None:
    points = [point(1, 1, 1, 10, 2e-3), point(1, 1, 1, 30, 1e-3), point(1, 1, 2, 10, 2.5e-3), point(1, 1, 2, 30, 4e-3)]
    assert engine_of(points, 2, 0.0).service_by_length_s == ((2e-3, 2e-3), (2.5e-3, 4e-3))


def test_the_band_covers_what_was_not_known() -> None:
    assert error_band([point(1, 2, 1, 0, 1.0, half_width_s=0.05, noise_cores=0.4)], 2) == pytest.approx(0.271)
    assert error_band([point(1, 2, 1, 0, 1.0, half_width_s=0.001, noise_cores=0.0)], 2) == 0.03


# ---------------------------------------------------------------------------------------------------------------- command line


def test_the_verb_writes_the_sweep_and_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "check_cores", lambda *_: None)
    command = [
        "perf",
        "measure",
        str(tiny(tmp_path)),
        "--machine",
        "c7i.large",
        "--batch",
        "1,2",
        "--length",
        "4",
        "--threads",
        "1",
    ]
    command += ["--seconds", "0.05", "--precision", "1000", "--max-noise", "1024", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["profile"]["machine"] == "c7i.large"
    assert yaml.safe_load((tmp_path / "out/profile.yaml").read_text()) == [said["profile"]]


@pytest.mark.parametrize("text", ["a", "1:0.5,2", "1:0.5,2:0.4", "", "8:x"])
def test_lengths_that_make_no_sense_are_told(text: str) -> None:
    with pytest.raises(InputError, match="--length is"):
        verb._parse_shares(text)


def test_a_machine_that_this_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="has 100000 vCPU, and this machine has"):
        verb.check_cores("huge", 100_000)
