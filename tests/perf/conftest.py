"""Builders of machines and variants for the tests of profiles."""

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.records import Architecture, ModelVariant, Profile

sys.path.append(str(Path(__file__).parent))
BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}
ASSISTANT = Architecture(parameters=7.0e9, layers=32, kv_heads=4, head_dim=128)


@pytest.fixture
def machine() -> Callable[..., MachineType]:
    """Return a builder of machines: a name, then the chip, how many and their memory in GiB."""

    def build(name: str, accelerator: str = "", count: int = 0, memory_gib: float = 0.0, vcpu: int = 4) -> MachineType:
        family = name.partition(".")[0]
        return MachineType("aws", name, family, vcpu, 16.0, "amd64", accelerator, count, memory_gib, "test", date(2026, 1, 1))

    return build


@pytest.fixture
def token_variant() -> Callable[..., ModelVariant]:
    """Return a builder of token variants of one architecture."""

    def build(precision: str = "fp16", architecture: Architecture = ASSISTANT) -> ModelVariant:
        size = architecture.parameters * BYTES[precision]
        return ModelVariant(f"assistant/{precision}", "assistant", "token", precision, 1.0, size, {"chat": 1.0}, architecture)

    return build


@pytest.fixture
def request_variant() -> Callable[..., ModelVariant]:
    """Return a builder of request variants, known to published tables by ``key``, with the user's own ``declared``."""

    def build(key: str = "", precision: str = "int8", declared: tuple[Profile, ...] = ()) -> ModelVariant:
        return ModelVariant(
            "small/int8", "small", "request", precision, 0.9, 2.3e7, {"chat": 0.4}, profile_key=key, declared=declared
        )

    return build
