"""A pool in this process: right answers whatever is in the batch, exact costs, order, cancelling, failing, sleeping and waking."""

import asyncio
import gc
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from local_models import Gated, affine, call, logits, lookup, pool_of, run, served, text, write_encoder
from tokenizers import Tokenizer

import tightrope.serve.local.pool as pool_module
from tightrope.serve.config.settings import LocalModel
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.model_loading import LoadedModel, LoadMeasurement
from tightrope.serve.local.models import NoSession
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.local.sessions import open_sessions
from tightrope.serve.local.text_model import RUN_LETTERS, TOKEN_LETTERS
from tightrope.serve.local.wait_queue import CallTicket
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Failed, Malformed, Unavailable, Unsupported

TEXTS = [
    text(*range(first, first + count))
    for first, count in zip(range(2, 26), [3, 9, 4, 12, 1, 7, 7, 5, 30, 2, 2, 6] * 2, strict=True)
]


def alone(path: Path, one: str) -> np.ndarray:
    """Return a text's embedding by plain calls of the libraries."""
    ids = np.array([Tokenizer.from_file(str(path.parent / "tokenizer.json")).encode(one).ids])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    vector = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0].mean(axis=0)
    return vector / np.linalg.norm(vector)


def gated(monkeypatch: pytest.MonkeyPatch, pool: LocalPool, planned_s: tuple[float, ...] = ()) -> Gated:
    """Let a pool's model be one that answers when the test says so."""
    model = Gated()
    curve = Curve(pool.pool.max_batch, (10, 40), planned_s)
    if not planned_s:
        for size in curve.sizes:  # 0.15 of the time of one does not grow with the batch
            for length in curve.knots:
                curve.put(size, length, 1e-3 * length * (0.15 + 0.85 * size))
        curve.complete()
    monkeypatch.setattr(pool_module, "load", lambda *_: LoadedModel(model, (NoSession(),) * 4, LoadMeasurement(1, curve)))
    return model


# ------------------------------------------------------------------------------------------------------------------- answers


def test_embeddings_have_the_same_bits_alone_and_together(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    pool = pool_of(path)

    async def ask(pool: LocalPool) -> tuple[list[Any], list[Any]]:
        apart = [await pool.answer(call(one)) for one in TEXTS]
        return apart, await asyncio.gather(*(pool.answer(call(one)) for one in TEXTS))

    apart, together = run(pool, ask)
    assert max(reply.batch for reply in together) > 1
    assert not pool.varies
    for one, first, second in zip(TEXTS, apart, together, strict=True):
        assert first.outputs[0].tobytes() == second.outputs[0].tobytes()
        assert np.allclose(first.outputs[0], alone(path, one), atol=1e-6)
        assert first.outputs[0].dtype == np.float32
        assert first.outputs[0].base is None
        assert first.input_tokens == len(one.split())


def test_a_call_of_many_texts_is_answered_in_their_order_and_long_ones_are_cut(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    pool = pool_of(LocalModel(path, max_tokens=20, threads=1))

    async def ask(pool: LocalPool) -> tuple[Any, Any]:
        return await pool.answer(call(tuple(TEXTS * 4))), await pool.answer(call(text(*range(5)) + " w1" * 3000))

    many, cut = run(pool, ask)
    assert len(many.outputs) == 4 * len(TEXTS)
    assert many.item_tokens == tuple(min(20, len(one.split())) for one in TEXTS * 4)
    assert all(np.array_equal(many.outputs[place], many.outputs[place + len(TEXTS)]) for place in range(len(TEXTS)))
    assert np.allclose(many.outputs[3], alone(path, TEXTS[3]), atol=1e-6)
    assert cut.input_tokens == 20
    assert many.item_tokens == tuple(min(20, len(one.split())) for one in TEXTS * 4)
    assert sum(many.item_tokens) == many.input_tokens


def test_texts_are_tokenised_few_letters_at_a_time_and_no_further_than_they_are_read(tmp_path: Path) -> None:
    """A tokenizer took 3 GiB for a text of 8 MiB, of which it was to give 256 tokens."""
    pool = pool_of(LocalModel(write_encoder(tmp_path), max_tokens=20, threads=1))
    texts = ("w1 " * 100_000, *(["w2 w3"] * 5), *(["w4 " * 700] * 100))
    runs: list[list[str]] = []

    async def ask(pool: LocalPool) -> Any:
        model: Any = pool._loaded.model
        encode = model._encode
        model._encode = lambda run: runs.append(run) or encode(run)
        return await pool.answer(call(texts))

    reply = run(pool, ask)
    assert reply.item_tokens == (20, *([2] * 5), *([20] * 100))
    assert [len(one) for few in runs for one in few] == [min(len(one), 20 * TOKEN_LETTERS) for one in texts]
    assert len(runs) > 1
    assert max(sum(map(len, few)) for few in runs) <= RUN_LETTERS


def test_what_a_replica_sustains_is_said_in_requests_of_the_texts_that_they_have(tmp_path: Path) -> None:
    pool = pool_of(write_encoder(tmp_path))

    async def ask(pool: LocalPool) -> float:
        for _ in range(8):
            await pool.answer(call(tuple(TEXTS[:5])))
        return pool.load().requests_per_s

    per_s = run(pool, ask)
    slots = pool._engines.cores // pool.threads
    assert per_s == pytest.approx(slots / pool._item_s / 5, rel=0.01)


def test_costs_are_shared_to_the_nano_dollar(tmp_path: Path) -> None:
    meter = MachineMeter(3600.0, 1.0)
    pool = pool_of(write_encoder(tmp_path), engines=Engines(1, meter))

    async def ask(pool: LocalPool) -> list[Any]:
        return await asyncio.gather(*(pool.answer(call(tuple(TEXTS[place : place + 5]))) for place in range(18)))

    replies = run(pool, ask)
    read = meter.read(meter.clock())
    assert sum(reply.compute_nusd for reply in replies) == read.ended_nusd > 0
    assert math.isclose(sum(reply.machine_s for reply in replies), read.used_time / 1e15, rel_tol=1e-6)
    assert all(reply.service_s > 0.0 for reply in replies)
    assert all(reply.wait_s >= 0.0 for reply in replies)


def test_a_cost_that_is_not_known_is_none(tmp_path: Path) -> None:
    pool = pool_of(affine(tmp_path / "a.onnx"), "infer", engines=Engines(1, MachineMeter(None, 1.0)))
    reply = run(pool, lambda pool: pool.answer(call({"x": np.zeros((2, 3), np.float32)}, "infer")))
    assert reply.compute_nusd is None
    assert reply.machine_s > 0.0


def test_what_answers_varies_with_the_batch_is_said_and_run_alone_where_answers_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tightrope.perf.compress.graph import as_bytes, load_graph  # heavy
    from tightrope.perf.compress.quantize import dynamic_int8

    path = write_encoder(tmp_path)
    path.write_bytes(as_bytes(dynamic_int8(load_graph(path))))

    async def ask(pool: LocalPool) -> list[Any]:
        return await asyncio.gather(*(pool.answer(call(one)) for one in TEXTS))

    pool, careful = pool_of(path), pool_of(path)
    replies = run(pool, ask)
    assert pool.varies
    assert "answers depend on what is in their batch" in caplog.text
    assert [reply.varies for reply in replies] == [reply.batch > 1 for reply in replies]
    assert any(reply.varies for reply in replies)
    careful.keep_answers()
    kept = run(careful, ask)
    assert {(reply.batch, reply.varies) for reply in kept} == {(1, False)}


def test_classes_have_probabilities_by_a_head_or_by_logits(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    random = np.random.default_rng(0)
    weights, bias = random.normal(0, 1, (16, 3)), np.array([0.1, 0.2, 0.3])
    np.savez(tmp_path / "head.npz", weights=weights, bias=bias)
    model = LocalModel(path, head=tmp_path / "head.npz", labels=("a", "b", "c"), threads=1)
    reply = run(pool_of(model, "classify"), lambda pool: pool.answer(call((TEXTS[0], TEXTS[1]), "classify")))
    assert reply.labels == ("a", "b", "c")
    ids = np.array([Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(TEXTS[0]).ids])
    states = onnxruntime.InferenceSession(str(path)).run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
    raised = np.exp(states.mean(axis=0) @ weights + bias)
    assert np.allclose(reply.outputs[0], raised / raised.sum(), atol=1e-5)

    table = random.normal(0, 1, (128, 2))
    for last, share in (("", lambda x: np.exp(x) / np.exp(x).sum()), ("Softmax", lambda x: np.exp(x) / np.exp(x).sum())):
        found = run(pool_of(logits(path, table, last), "classify"), lambda pool: pool.answer(call("w1 w3", "classify")))
        assert np.allclose(found.outputs[0], share(table[3] + table[5]), atol=1e-5)
        assert found.labels == ()


def test_a_single_logit_is_the_second_of_two_classes(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    table = np.linspace(-2, 2, 128)[:, None]
    one = 1.0 / (1.0 + math.exp(-float(table[12, 0])))
    for last in ("", "Sigmoid"):
        pool = pool_of(logits(tmp_path / "logits.onnx", table, last), "classify")
        reply = run(pool, lambda pool: pool.answer(call("w10", "classify")))
        assert np.allclose(reply.outputs[0], [1.0 - one, one], atol=1e-6)


def test_what_the_model_does_not_do_is_refused(tmp_path: Path) -> None:
    async def ask(pool: LocalPool) -> None:
        with pytest.raises(Unsupported):
            await pool.answer(call({"x": np.zeros((1, 3), np.float32)}, "infer"))
        with pytest.raises(Unsupported):
            await pool.answer(call("", "chat"))
        for nothing in ((), ("fine", "\ud800")):  # no text, and half of a letter
            with pytest.raises(Malformed):
                await pool.answer(call(nothing))
        assert pool.load().in_flight == 0

    run(pool_of(write_encoder(tmp_path)), ask)


# ------------------------------------------------------------------------------------------------------------- queue and order


def test_a_failing_item_fails_alone_and_its_mates_are_answered(tmp_path: Path) -> None:
    pool = pool_of(lookup(tmp_path / "lookup.onnx"), "infer", max_wait_s=5.0, service_s=(1e-3,) * 8)

    async def ask(pool: LocalPool) -> list[Any]:
        given = [{"place": np.array([[place]])} for place in (0, 1, 99, 3)] + [{"place": np.array([[2], [0], [-99], [1]])}]
        return await asyncio.gather(*(pool.answer(call(one, "infer")) for one in given), return_exceptions=True)

    replies = run(pool, ask)
    assert [float(reply.outputs["value"][0, 0]) for reply in (replies[0], replies[1], replies[3])] == [10.0, 11.0, 13.0]
    assert [reply.batch for reply in replies[:2]] == [8, 8]
    assert all(isinstance(replies[place], Failed) for place in (2, 4))
    assert "99" not in str(replies[2])  # what went wrong is in the log alone
    assert pool.load().in_flight == 0


def test_answers_that_do_not_fit_together_fail_their_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=8)
    model = gated(monkeypatch, pool)
    model.gate.set()
    monkeypatch.setattr(model, "outputs", lambda parts: tuple(parts) if len(parts) == 1 else np.concatenate([parts[0], [parts]]))

    async def ask(pool: LocalPool) -> list[Any]:
        return await asyncio.gather(*(pool.answer(call(one)) for one in (("a 10", "b 10"), ("c 10",))), return_exceptions=True)

    pair, mate = run(pool, ask)
    assert isinstance(pair, Failed)
    assert len(mate.outputs) == 1
    assert pool.load().in_flight == 0


def test_what_a_request_without_an_answer_cost_is_on_its_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(lookup(tmp_path / "lookup.onnx"), "infer")
    failed = call({"place": np.array([[2], [99]])}, "infer")

    async def fail(pool: LocalPool) -> None:
        with pytest.raises(Failed):
            await pool.answer(failed)

    run(pool, fail)
    assert failed.lost_nusd == pool._engines.meter.read(pool._engines.meter.clock()).ended_nusd > 0

    waiting = pool_of(None, max_batch=1)
    model = gated(monkeypatch, waiting)
    gone, run_model = call(("a 10", "b 10")), model.run

    def first_alone(*given: Any) -> list[Any]:
        (model.gate.clear if model.batches else model.gate.set)()
        return run_model(*given)

    async def go(pool: LocalPool) -> None:
        task = asyncio.create_task(pool.answer(gone))
        while not pool._metrics.sizes:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        model.gate.set()

    monkeypatch.setattr(model, "run", first_alone)
    run(waiting, go)
    assert gone.lost_nusd > 0


def test_interactive_goes_before_what_can_wait_and_larger_priorities_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, classes=[served("low"), served("high", 5)], max_batch=2, deferrable_limit=2)
    model = gated(monkeypatch, pool)

    async def ask(pool: LocalPool) -> None:
        tasks = [asyncio.create_task(pool.answer(call("first 10", traffic_class="low")))]
        await asyncio.to_thread(model.began.wait, 60)
        for name, cls, deadline_s in (
            ("later-2 10", "low", 2e9),
            ("later-1 10", "low", 1e9),
            ("low-1 10", "low", None),
            ("high-1 10", "high", None),
            ("low-2 10", "low", None),
            ("high-2 10", "high", None),
            ("high-3 10", "high", None),
        ):
            tasks.append(asyncio.create_task(pool.answer(call(name, traffic_class=cls, deadline_s=deadline_s))))
            await asyncio.sleep(0)
        state = pool.load()
        assert (state.in_flight, state.waiting) == (8, {"low": 4, "high": 3})
        model.gate.set()
        await asyncio.gather(*tasks)
        assert (pool.load().in_flight, pool.load().waiting) == (0, {"low": 0, "high": 0})

    run(pool, ask)
    assert [sorted(batch) for batch in model.batches] == [
        ["first 10"],
        ["high-1 10", "high-2 10"],
        ["high-3 10", "low-1 10"],
        ["later-1 10", "low-2 10"],
        ["later-2 10"],
    ]


def test_what_waits_for_more_when_an_engine_ends_goes_at_its_time_though_nobody_else_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = pool_of(None, max_batch=3, max_wait_s=0.1)
    model = gated(monkeypatch, pool, (1e-3, 1e-3, 1e-3))

    async def ask(pool: LocalPool) -> None:
        first = asyncio.create_task(pool.answer(call(("a 10", "b 10", "c 10"))))
        await asyncio.to_thread(model.began.wait, 60)
        last = asyncio.create_task(pool.answer(call("last 10")))
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first, last)

    run(pool, ask)
    assert [len(batch) for batch in model.batches] == [3, 1]


def test_a_pool_that_can_not_choose_does_not_hold_up_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engines = Engines(1, MachineMeter(3600.0, 1.0))
    broken, whole = (pool_of(None, engines=engines) for _ in range(2))
    monkeypatch.setattr(pool_module, "choose", lambda waiting, *_: waiting.window(1) if waiting is whole._waiting else 1 / 0)

    async def ask(pool: LocalPool) -> int:
        await broken.start()
        first = asyncio.create_task(broken.answer(call("first")))
        await asyncio.sleep(0)
        reply = await pool.answer(call("second"))
        first.cancel()
        await asyncio.wait([first])
        await broken.stop(10.0)
        return reply.batch

    assert run(whole, ask) == 1
    assert "a defect in what chooses a batch" in caplog.text


def test_a_tenant_with_many_texts_does_not_hold_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=8)
    model = gated(monkeypatch, pool)

    async def ask(pool: LocalPool) -> None:
        first = asyncio.create_task(pool.answer(call("first 10")))
        await asyncio.to_thread(model.began.wait, 60)
        many = asyncio.create_task(pool.answer(call(tuple(f"many{number} 10" for number in range(400)))))
        few = [asyncio.create_task(pool.answer(call(f"{name} 10", caller=Caller(name)))) for name in "ab"]
        await asyncio.sleep(0.01)
        model.gate.set()
        await asyncio.gather(first, many, *few)

    run(pool, ask)
    assert {"a 10", "b 10"} <= {name for batch in model.batches[1:3] for name in batch}
    texts = [name for batch in model.batches for name in batch if name.startswith("many")]
    assert texts == [f"many{number} 10" for number in range(400)]


def test_near_lengths_go_together_and_a_long_text_does_not_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=4)
    model = gated(monkeypatch, pool)

    async def ask(pool: LocalPool) -> None:
        tasks = [asyncio.create_task(pool.answer(call("first 10")))]
        await asyncio.to_thread(model.began.wait, 60)
        for name in ("a 10", "long 40", "b 10", "c 11", "d 10", "e 10", "f 10"):
            tasks.append(asyncio.create_task(pool.answer(call(name))))
            await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(*tasks)

    run(pool, ask)
    assert model.batches[1:] == [["a 10", "b 10", "d 10", "e 10"], ["long 40"], ["c 11", "f 10"]]


def test_a_planned_pool_of_one_length_batches_as_the_replay_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """First in, first out, up to the largest batch, whether that pays or not: here a batch of three takes ten times as long as one."""
    pool = pool_of(None, max_batch=3, service_s=(1.0, 5.0, 10.0))
    model = gated(monkeypatch, pool, (1.0, 5.0, 10.0))

    async def ask(pool: LocalPool) -> None:
        tasks = [asyncio.create_task(pool.answer(call("first 10")))]
        await asyncio.to_thread(model.began.wait, 60)
        tasks += [asyncio.create_task(pool.answer(call(f"{name} 10"))) for name in "abcdefg"]
        await asyncio.sleep(0.01)
        model.gate.set()
        await asyncio.gather(*tasks)

    run(pool, ask)
    assert model.batches[1:] == [["a 10", "b 10", "c 10"], ["d 10", "e 10", "f 10"], ["g 10"]]


def test_cancelling_takes_what_has_not_begun_out_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=8)
    model = gated(monkeypatch, pool)

    async def ask(pool: LocalPool) -> None:
        first = asyncio.create_task(pool.answer(call("first 10")))
        await asyncio.to_thread(model.began.wait, 60)
        tasks = [asyncio.create_task(pool.answer(call((f"{name}1 10", f"{name}2 10")))) for name in "abc"]
        left = asyncio.create_task(pool.answer(gone := call("gone 10")))
        await asyncio.sleep(0.01)
        gone.gone = True
        tasks[1].cancel()
        first.cancel()
        await asyncio.sleep(0)
        assert sum(pool.load().waiting.values()) == 3
        model.gate.set()
        done = await asyncio.gather(first, *tasks, left, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True, False, False]
        assert isinstance(done[4], Unavailable)

    run(pool, ask)
    assert model.batches[0] == ["first 10"]
    assert sorted(name for batch in model.batches[1:] for name in batch) == ["a1 10", "a2 10", "c1 10", "c2 10"]


def test_what_runs_for_a_call_that_was_given_up_is_charged_to_it_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = MachineMeter(3600.0, 1.0)
    pool = pool_of(None, max_batch=8, engines=Engines(1, meter))
    model = gated(monkeypatch, pool)
    late: list[tuple[Any, Any]] = []
    pool.late = lambda call, reply: late.append((call, reply))

    async def ask(pool: LocalPool) -> Any:
        gone = call(("gone1 10", "gone2 10"))
        given_up = asyncio.create_task(pool.answer(gone))
        await asyncio.to_thread(model.began.wait, 60)
        stays = asyncio.create_task(pool.answer(call("stays 10")))
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        model.gate.set()
        return gone, await stays

    gone, reply = run(pool, ask)
    assert [to for to, _ in late] == [gone] * len(model.batches[0])
    assert gone.lost == []
    assert sum(lost.nusd for _, lost in late) + reply.nusd == meter.read(meter.clock()).ended_nusd > 0
    assert all(lost.machine_s > 0.0 for _, lost in late)


def test_an_engine_goes_on_while_the_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=1)
    model = gated(monkeypatch, pool)

    async def ask(pool: LocalPool) -> list[list[str]]:
        asked = [asyncio.create_task(pool.answer(call(f"{name} 10"))) for name in "abc"]
        await asyncio.to_thread(model.began.wait, 60)
        model.gate.set()
        until = time.monotonic() + 60
        while len(model.batches) < 3 and time.monotonic() < until:  # the loop does nothing else meanwhile
            time.sleep(0.001)
        seen = list(model.batches)
        assert not any(task.done() for task in asked)
        await asyncio.gather(*asked)
        return seen

    assert run(pool, ask) == [["a 10"], ["b 10"], ["c 10"]]


def test_stopping_refuses_the_new_finishes_the_begun_and_turns_the_rest_away(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None, max_batch=1)
    model = gated(monkeypatch, pool)

    async def ask() -> list[Any]:
        await pool.start()
        tasks = [asyncio.create_task(pool.answer(call(f"{name} 10"))) for name in "ab"]
        await asyncio.to_thread(model.began.wait, 60)
        stop = asyncio.create_task(pool.stop(0.01))
        await asyncio.wait(tasks[1:], timeout=60)
        tasks.append(asyncio.create_task(pool.answer(call("c 10"))))
        model.gate.set()
        await asyncio.wait_for(stop, 60)
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert first.outputs[0].tolist() == [4.0]
    assert isinstance(second, Unavailable)
    assert isinstance(third, Unavailable)
    assert not any(thread.name.startswith("engine-") for thread in threading.enumerate())


# ------------------------------------------------------------------------------------------------------------ life of a pool


def test_a_pool_sleeps_when_idle_and_its_first_request_wakes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []
    monkeypatch.setattr("tightrope.serve.local.model_loading.give_back_memory", lambda: given_back.append(1))
    now_s = [0.0]
    engines = Engines(1, MachineMeter(1.0, 1.0), clock=lambda: now_s[0])
    pool = pool_of(LocalModel(write_encoder(tmp_path), keep_loaded=False, idle_s=0.05, threads=1), engines=engines)

    async def ask(pool: LocalPool) -> None:
        assert pool.load().replicas_ready == 0
        assert pool.load().cold_start_s > 0.0  # it was loaded once, to look at it
        for _ in range(2):
            tasks = [asyncio.create_task(pool.answer(call(one))) for one in TEXTS[:3]]
            await asyncio.sleep(0)
            state = pool.load()
            assert (state.replicas_ready, state.replicas_starting, state.held) == (0, 1, 3)
            for reply in await asyncio.gather(*tasks):
                assert reply.outputs[0].shape == (16,)
            assert (pool.load().replicas_ready, pool.load().held) == (1, 0)
            now_s[0] += 0.05
            async with asyncio.timeout(60):
                while pool.load().replicas_ready:
                    await asyncio.sleep(0.01)

    run(pool, ask)
    assert len(given_back) >= 3  # each time that it was unloaded, the first among them


def test_a_pool_that_was_asked_in_between_sleeps_later(tmp_path: Path) -> None:
    now_s = [0.0]
    engines = Engines(1, MachineMeter(1.0, 1.0), clock=lambda: now_s[0])
    pool = pool_of(LocalModel(write_encoder(tmp_path), keep_loaded=False, idle_s=100.0, threads=1), engines=engines)

    async def ask(pool: LocalPool) -> None:
        await pool.answer(call("w1"))
        now_s[0] = 90.0
        await pool.answer(call("w1"))
        for moment_s, ready in ((110.0, 1), (189.0, 1), (191.0, 0)):
            now_s[0] = moment_s
            pool._sleep()
            assert pool.load().replicas_ready == ready

    run(pool, ask)


def test_a_batch_whose_clients_have_gone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(None)
    model = gated(monkeypatch, pool)

    async def ask() -> None:
        await pool.start()
        task = asyncio.create_task(pool.answer(call("first 10")))
        await asyncio.to_thread(model.began.wait, 60)
        task.cancel()
        stop = asyncio.create_task(pool.stop(10.0))
        await asyncio.sleep(0.02)
        assert pool.load().in_flight == 0
        assert not stop.done()
        model.gate.set()
        await asyncio.wait_for(stop, 60)

    asyncio.run(ask())


def test_a_model_that_has_gone_when_it_is_wanted_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    pool = pool_of(LocalModel(path, keep_loaded=False, threads=1))

    async def ask(pool: LocalPool) -> None:
        content = path.read_bytes()
        path.unlink()
        for one in await asyncio.gather(*(pool.answer(call(one)) for one in TEXTS[:3]), return_exceptions=True):
            assert isinstance(one, Unavailable)
        path.write_bytes(content)
        assert (await pool.answer(call("w1"))).input_tokens == 1

    run(pool, ask)


def test_pools_share_the_engine_threads_whatever_threads_their_models_take(tmp_path: Path) -> None:
    meter = MachineMeter(1.0, 2.0)
    engines = Engines(2, meter)
    encoder = pool_of(LocalModel(write_encoder(tmp_path), threads=2), engines=engines)
    doubling = pool_of(affine(tmp_path / "affine.onnx"), "infer", engines=engines)

    async def whole() -> tuple[list[Any], list[Any]]:
        await encoder.start()
        await doubling.start()
        ones = [np.full((1, 3), float(place), np.float32) for place in range(50)]
        answers = await asyncio.wait_for(
            asyncio.gather(
                asyncio.gather(*(encoder.answer(call(one)) for one in TEXTS)),
                asyncio.gather(*(doubling.answer(call({"x": one}, "infer")) for one in ones)),
            ),
            30,
        )
        await encoder.stop(5.0)
        await doubling.stop(5.0)
        return answers

    texts, numbers = asyncio.run(whole())
    assert encoder.threads == 2
    assert [float(reply.outputs["y"][0, 0]) for reply in numbers] == [2.0 * place + 1.0 for place in range(50)]
    assert all(
        np.allclose(reply.outputs[0], alone(tmp_path / "encoder.onnx", one), atol=1e-6)
        for one, reply in zip(TEXTS, texts, strict=True)
    )
    assert meter.read(meter.clock()).ended_nusd == sum(reply.compute_nusd for reply in [*texts, *numbers])


def test_a_pool_without_a_model_answers_at_once_through_the_same_queue() -> None:
    pool = pool_of(None, max_batch=16)

    async def ask(pool: LocalPool) -> list[Any]:
        return await asyncio.gather(*(pool.answer(call(("a", "b"))) for _ in range(100)))

    replies = run(pool, ask)
    assert all(len(reply.outputs) == 2 for reply in replies)
    assert sum(pool._metrics.sizes) == 200
    assert max(pool._metrics.sizes) == 16
    with pytest.raises(Unsupported):
        run(pool_of(None, "chat"), lambda pool: pool.answer(call((), "chat")))
    whole = {"x": np.arange(3.0)}
    assert run(pool_of(None, "infer"), lambda pool: pool.answer(call(whole, "infer"))).outputs is whole


@pytest.mark.parametrize("how", ["answered", "given up", "failed"])
def test_no_request_leaves_anything_to_the_garbage_collector(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    pool = pool_of(None)
    model = gated(monkeypatch, pool)
    model.gate.set()
    if how == "failed":
        monkeypatch.setattr(model, "run", lambda *_: 1 // 0)
        monkeypatch.setattr(pool_module.log, "error", lambda *_: None)  # pytest keeps what is logged

    def tickets() -> int:
        return sum(type(one) is CallTicket for one in gc.get_objects())  # of a weak proxy `isinstance` may fail

    async def ask(pool: LocalPool) -> None:
        for turn in range(2):
            tasks = [asyncio.create_task(pool.answer(call((f"{place} 10", f"{place}b 10")))) for place in range(50)]
            await asyncio.sleep(0)
            for task in tasks if how == "given up" else ():
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() == (how == "given up") for task in tasks)
            assert how == "given up" or all((task.exception() is not None) == (how == "failed") for task in tasks)
            del tasks
            await asyncio.to_thread(lambda: None)
            if turn == 0:
                gc.collect()
                before = tickets()
        while tickets() > before + 1:  # the loop's last variable; and what is given up may be in an engine's hands still
            await asyncio.sleep(0.01)

    gc.disable()
    try:
        run(pool, ask)
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has this policy")
def test_the_loop_gives_way_to_engines_and_those_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pool, seen = pool_of(None), {}
    model = gated(monkeypatch, pool)
    model.gate.set()
    run_model = model.run

    def noted(*given: Any) -> list[Any]:
        seen["engine"] = os.sched_getscheduler(0)
        return run_model(*given)

    def opened() -> None:  # a session opened later, whose threads are an engine's
        seen["opening"] = os.sched_getscheduler(0)
        open_sessions(LocalModel(affine(tmp_path / "a.onnx")), 1, [None])
        seen["opened"] = os.sched_getscheduler(0)

    async def ask(pool: LocalPool) -> None:
        seen["loop"] = os.sched_getscheduler(0)
        await pool.answer(call("a 10"))
        later = threading.Thread(target=opened)
        later.start()
        await asyncio.to_thread(later.join)

    monkeypatch.setattr(model, "run", noted)
    run(pool, ask)
    batch, other = os.SCHED_BATCH, os.SCHED_OTHER
    assert seen == {"loop": batch, "engine": other, "opening": batch, "opened": other}
    assert os.sched_getscheduler(0) == other
