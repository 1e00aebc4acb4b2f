"""The page's examples are valid, and its figures are those of the code."""

import re
from pathlib import Path

import pytest
import yaml

from tightrope.demand.strict_mapping import validated
from tightrope.demand.yaml_document import read_document
from tightrope.policy import admission
from tightrope.serve.access import keyfile, keys
from tightrope.serve.config.schema import ServeFile

PAGE = (Path(__file__).parents[3] / "docs/how-to/give-access.md").read_text(encoding="utf-8")
MODELS = "name: demo\nmodels:\n  minilm:\n    task: embed\n    variants:\n      fp32: {noop: true}\n"


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), ids=["tenants", "cache"])
def test_the_settings_of_the_page_are_valid(tmp_path: Path, block: str) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(MODELS + block)
    read = validated(ServeFile, read_document(path), "")
    if "tenants" in block:
        assert read.tenants["acme"].requests_per_s == 50
        assert read.tenants["acme"].burst == 2.0
        assert "*" in read.tenants
    else:
        assert read.cache is not None
        assert (read.cache.entries, read.cache.size, read.cache.ttl) == (100_000, 2**28, 600.0)


def test_the_semantic_cache_of_the_page_is_valid(tmp_path: Path) -> None:
    stated = re.search(r"`semantic: (\{.*?\})`", PAGE)
    assert stated
    path = tmp_path / "serve.yaml"
    path.write_text(MODELS + f"cache: {{semantic: {stated[1]}}}\n")
    assert validated(ServeFile, read_document(path), "").cache.semantic.threshold == yaml.safe_load(stated[1])["threshold"]  # type: ignore[union-attr]


def test_the_figures_are_those_of_the_code() -> None:
    assert (keyfile.SECRET_BYTES * 8, keys.RELOAD_S) == (256, 2.0)
    assert (admission.DEFAULT_SHARE, admission.FAIR_EXCESS) == (0.5, 1.25)
