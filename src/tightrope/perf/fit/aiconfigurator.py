"""Asks aiconfigurator-core for the times of single steps: NVIDIA's measurements of kernels, put together and interpolated, offline.

The package (Apache-2.0, extra ``fit``) is large and only loaded here. What is asked is a grid of sizes that a server meets; sizes
between those of the grid are held out.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from tightrope.base.errors import InputError
from tightrope.perf.fit.fit_models import FitModel
from tightrope.perf.fit.steps import ServerStep

VERSION = "0.12.0"
SYSTEMS = {
    ("a100", 80.0): "a100_sxm",
    ("h100", 80.0): "h100_sxm",
    ("h200", 141.0): "h200_sxm",
    ("b200", 180.0): "b200_sxm",
    ("b300", 288.0): "b300_sxm",
    ("gb200", 192.0): "gb200",
    ("l40s", 48.0): "l40s",
    ("rtx-pro-6000", 96.0): "rtx_pro_6000_server",
}
"""Our name of a chip and the memory of its board → aiconfigurator's."""
MODES = {"bf16": "bfloat16", "fp8": "fp8"}
"""Our name of a precision → aiconfigurator's. It has no int8 or 4-bit tables for these chips under vLLM."""

SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SEQUENCES_BETWEEN = (3, 6, 12, 24, 48, 96, 192)
CONTEXTS = (128, 512, 1024, 2048, 4096)
CONTEXTS_BETWEEN = (320, 768, 1536, 3072)
PROMPTS = (64, 128, 256, 512, 1024, 2048)
PROMPTS_BETWEEN = (96, 192, 384, 768, 1536)


class StepModel(Protocol):
    """What is used of aiconfigurator's ``EngineHandle``; times in milliseconds."""

    def predict_prefill_latency(self, bs: int, isl: int, prefix: int = 0) -> float:
        """Return the time to read ``isl`` tokens of which the first ``prefix`` are cached."""
        ...

    def decode_step_latency(self, gen_tokens: int, isl: int, osl: int) -> float:
        """Return the time of a step of ``gen_tokens`` sequences with ``isl`` tokens each."""
        ...

    def mixed_step_latency(self, ctx_tokens: int, gen_tokens: int, isl: int, osl: int) -> float:
        """Return the time of a step that reads ``ctx_tokens`` of a prompt beside ``gen_tokens`` sequences."""
        ...


@dataclass(frozen=True, slots=True)
class StepQuery:
    """One step to ask for, before its time is known."""

    prompt_tokens: int
    prefix_tokens: int
    sequences: int
    context_tokens: int
    held_out: bool


def grid(kv_tokens: int, chunk_tokens: int, max_sequences: int) -> tuple[StepQuery, ...]:
    """Return the steps that are asked for: decoding alone, prompts alone, the rest of longer prompts, and prompts beside decoding.

    Nothing larger than the engine's own limits is asked for.
    """

    def asked(*, held_out: bool) -> Iterator[StepQuery]:
        sequences = SEQUENCES_BETWEEN if held_out else SEQUENCES
        contexts = CONTEXTS_BETWEEN if held_out else CONTEXTS
        prompts = PROMPTS_BETWEEN if held_out else PROMPTS
        yield from (StepQuery(0, 0, count, context, held_out) for count in sequences for context in contexts)
        yield from (StepQuery(prompt, 0, 0, 0, held_out) for prompt in prompts)
        yield from (StepQuery(prompt, 1024 if held_out else 2048, 0, 0, held_out) for prompt in prompts if prompt >= 256)
        yield from (
            StepQuery(prompt, 0, count, prompt, held_out) for prompt in prompts for count in sequences[2::2] if prompt >= 256
        )

    every = (*asked(held_out=False), *asked(held_out=True))
    return tuple(
        step
        for step in every
        if step.sequences <= max_sequences
        and step.prompt_tokens + step.sequences <= chunk_tokens + max_sequences
        and step.prompt_tokens + step.prefix_tokens + step.sequences * step.context_tokens <= kv_tokens
    )


def ask(model: StepModel, steps: tuple[StepQuery, ...]) -> tuple[ServerStep, ...]:
    """Return the steps with their times."""
    return tuple(_ask(model, step) for step in steps)


def _ask(model: StepModel, step: StepQuery) -> ServerStep:
    """Return one step with its time."""
    if step.sequences == 0:
        time_ms = model.predict_prefill_latency(1, step.prompt_tokens + step.prefix_tokens, step.prefix_tokens)
    elif step.prompt_tokens == 0:
        time_ms = model.decode_step_latency(step.sequences, step.context_tokens, 2)
    else:
        time_ms = model.mixed_step_latency(step.prompt_tokens, step.sequences, step.context_tokens, 2)
    cached = step.prefix_tokens + step.sequences * step.context_tokens
    return ServerStep(step.prompt_tokens + step.sequences, cached, time_ms / 1e3, step.held_out)


Compile = Callable[[FitModel, str, str, int], StepModel]
"""Model, system, precision mode and chips → its steps."""


def systems_folder() -> Path:
    """Return the folder of the installed package's data on systems."""
    return _folder() / "systems"


def _folder() -> Path:
    """Return the folder of the installed package."""
    return Path(str(import_module("aiconfigurator_core").__file__)).parent


@contextmanager
def package() -> Iterator[Compile]:
    """Yield what compiles a step model with the installed package; raise ``InputError`` where it is not installed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        handle = import_module("aiconfigurator_core.sdk.engine").EngineHandle
    except ImportError as error:
        msg = f"aiconfigurator-core is not installed ({error})"
        raise InputError(msg, resolve="pip install 'tightrope[fit]': Linux x86-64, about 600 MB") from error
    configs = _folder() / "model_configs"
    noise = logging.root.manager.disable
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)

        def compiled(model: FitModel, system: str, mode: str, chips: int) -> StepModel:
            path = Path(folder) / model.name
            path.mkdir(exist_ok=True)
            (path / "config.json").write_text(_config(model, configs), encoding="utf-8")
            experts = {"moe_tp_size": chips, "moe_ep_size": 1, "moe_quant_mode": mode} if model.experts else {}
            return handle.compile(str(path), system, "vllm", tp_size=chips, gemm_quant_mode=mode, **experts)

        try:
            yield compiled
        finally:
            logging.disable(noise)


def _config(model: FitModel, folder: Path) -> str:
    """Return the text of a model's ``config.json``: ours where the package has none."""
    if model.config:
        return json.dumps(dict(model.config))
    return (folder / f"{model.repository.replace('/', '--')}_config.json").read_text(encoding="utf-8")
