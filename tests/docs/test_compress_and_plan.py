"""The example whose figures were measured: page and workload show the same ones, and the waterfall says what they save."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tightrope.clouds.book import load_price_book
from tightrope.demand.workload import load_workload
from tightrope.perf.coremark import SCALING_BAND

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "compress-and-plan.md").read_text(encoding="utf-8")
WORKLOAD = ROOT / "examples" / "newsroom" / "workload.yaml"


@pytest.fixture(scope="module")
def renew() -> ModuleType:
    """Return the script that renews the example, which needs what compression needs."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("renew", ROOT / "examples" / "newsroom" / "renew.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_and_workload_show_what_was_measured(renew: ModuleType) -> None:
    blocks = {found["name"]: found["body"] for found in renew.MEASURED.finditer(PAGE)}
    in_workload = renew.MODELS.search(WORKLOAD.read_text(encoding="utf-8"))
    assert blocks["models"] == f"```yaml\n{in_workload[0]}\n```\n"
    assert blocks["compress"].startswith(f"```console\n$ {renew.wrapped(renew.COMPRESS)}\n")
    shown = {line.split()[0] for line in blocks["compress"].splitlines() if line.strip().endswith(("written", "for a cascade"))}
    assert set(yaml.safe_load(in_workload[0])["models"]["minilm"]["variants"]) == shown


def test_the_waterfall_says_what_quantising_and_pruning_save() -> None:
    for lever in ("quantise", "prune"):
        found = re.search(rf"^ +{lever} +\$([\d,]+)  ▇", PAGE, re.MULTILINE)
        assert found, lever
        assert int(found[1].replace(",", "")) > 0


def test_the_profiles_say_that_another_machine_stands_for_theirs() -> None:
    workload = load_workload(WORKLOAD, load_price_book())
    variants = {variant.name: variant for variant in workload.variants}
    assert {pool.variant for pool in workload.today} == {"minilm/fp32"}
    assert {variant.pruned for variant in variants.values()} == {False, True}
    for variant in variants.values():
        (profile,) = variant.declared
        assert profile.provenance.kind == "model"
        assert "taken for a c7i.large" in profile.provenance.source
        assert profile.provenance.error_band >= SCALING_BAND
    first = {name: variant.declared[0].engine.service_s[0] for name, variant in variants.items()}
    assert max(first, key=lambda name: first[name]) == "minilm/fp32"


def test_a_profile_measured_elsewhere_is_no_better_known_than_one_that_is_carried(renew: ModuleType) -> None:
    profile = {"machine": "c7i.large", "source": "measured on 2026-11-26 on c7i.large, 2 cores: x", "error_band": "4.5 %"}
    block = {"models": {"minilm": {"variants": {"int8": {"profiles": [profile]}}}}}
    renew.stand_in(block)
    assert profile["kind"] == "model"
    assert profile["error_band"] == "24.5 %"
    assert profile["source"] == f"measured on 2026-11-26 on {renew.HERE}, taken for a c7i.large: x"
