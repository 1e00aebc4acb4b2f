"""Whatever a file holds, a loader answers with arrays or with an ``InputError``."""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.base.records import Demand
from tightrope.demand.clients import load_clients
from tightrope.demand.requests import TraceRequests, load_requests
from tightrope.demand.trace import load_arrivals, load_rates, load_sizes

NAMES = st.sampled_from(
    [
        "time_s",
        "timestamp",
        "rps",
        "count",
        "input_tokens",
        "output_tokens",
        "class",
        "key",
        "hash_ids",
        "x",
        'a"b',
        "a'b",
        "",
        "é",
    ]
)
CELLS = st.one_of(
    st.integers(-10, 10**13).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "nan", "x", '"', "2024-01-01 00:00:00", "2024-13-01", "1,5", "0x1", "\ufeff", "inf", "1e400", "9" * 400]
    ),
    st.text(max_size=5),
)
SUFFIXES = st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def try_all(path: Path) -> None:
    """Load a file every way; what comes out must be sound."""
    loaders: list[Callable[[Path], Demand | TraceRequests | tuple[np.ndarray, np.ndarray]]] = [
        load_arrivals,
        load_rates,
        load_sizes,
        load_clients,
        partial(load_requests, classes=("x", "a")),
    ]
    for load in loaders:
        with suppress(InputError):
            found = load(path)
            if isinstance(found, TraceRequests):
                assert (np.diff(found.time_s) >= 0).all()
                assert found.block_start is None or (np.diff(found.block_start) >= 0).all()
            if isinstance(found, Demand):
                assert (found.rate_per_s >= 0).all()
                assert len(found.arrival_s) == 0 or (np.diff(found.arrival_s) >= 0).all()
                assert found.clients is None or np.isin(found.clients.share.sum(axis=0).round(9), [0, 1]).all()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), suffix=SUFFIXES)
def test_bytes(folder: Path, content: bytes, suffix: str) -> None:
    path = folder / f"bytes{suffix}"
    path.write_bytes(content)
    try_all(path)


@settings(max_examples=60, deadline=None)
@given(header=st.lists(NAMES, min_size=1, max_size=4), rows=st.lists(st.lists(CELLS, max_size=4), max_size=6))
def test_csv(folder: Path, header: list[str], rows: list[list[str]]) -> None:
    path = folder / "rows.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]), encoding="utf-8")
    try_all(path)


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.floats(0, 1e6), min_size=2, max_size=8).map(sorted),
    rates=st.lists(st.floats(0, 1e9), min_size=8, max_size=8),
)
def test_numbers_that_are_nearly_right(folder: Path, times: list[float], rates: list[float]) -> None:
    path = folder / "near.csv"
    rows = [f"{time},{rate}" for time, rate in zip(times, rates, strict=False)]
    path.write_text("\n".join(["time_s,rps", *rows]), encoding="utf-8")
    try_all(path)


@settings(max_examples=40, deadline=None)
@given(records=st.lists(st.dictionaries(NAMES, st.one_of(st.none(), st.booleans(), st.floats(), CELLS)), max_size=4))
def test_json_lines(folder: Path, records: list[dict[str, object]]) -> None:
    path = folder / "records.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    try_all(path)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["0", "600", "1200", "900"]),
            st.sampled_from(["0", "1", "2.5", "-1", "1e300"]),
            st.sampled_from(["Gamma", "weibull", "Poisson", "", "Pareto"]),
            st.sampled_from(["0.5", "1", "0", "1e9", "1e-9", "inf", ""]),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_clients_that_are_nearly_right(folder: Path, rows: list[tuple[str, ...]]) -> None:
    path = folder / "clients.csv"
    path.write_text("\n".join(["client,t_s,rps,dist,p1", *map(",".join, rows)]), encoding="utf-8")
    try_all(path)
    path.write_text("\n".join(["client,t_s,rps,dist,cv", *map(",".join, rows)]), encoding="utf-8")
    try_all(path)
