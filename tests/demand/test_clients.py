"""Tables of clients: what ServeGen's columns mean, what a table becomes, and every refusal with its line."""

import math
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tightrope.base.errors import TraceError
from tightrope.base.records import ClientMix, Demand
from tightrope.demand.clients import load_clients

Write = Callable[[str, str | bytes], Path]
SERVEGEN = Path(__file__).parent / "data" / "servegen_clients.csv"
SHARED = Path(__file__).parents[2].parent / "shared/data/traffic/servegen_client_rates.parquet"
HEADER = "client,t_s,rate_rps,cv,dist,p1,p2"
TABLE = (
    HEADER,
    "b,0,1,2,Gamma,0.25,4",
    "a,0,3,1.5,Weibull,0.7,0.3",
    "b,600,0,0,,0,0",
    "a,600,2,1,Gamma,1,0.5",
    "a,1200,0,0,,0,0",
    "b,1800,5,1,Poisson,,",
)


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def mix_of(demand: Demand) -> ClientMix:
    assert demand.clients is not None
    return demand.clients


# -------------------------------------------------------------------------------------------------- the format of ServeGen


def servegen(path: Path, condition: str) -> dict[str, np.ndarray]:
    """Return the busy windows of one law as columns."""
    source = "read_csv" if path.suffix == ".csv" else "read_parquet"
    names = ", ".join(f"{name}::DOUBLE AS {name}" for name in ("rate_rps", "cv", "p1", "p2"))
    return dict(duckdb.sql(f"SELECT {names} FROM {source}('{path}') WHERE {condition}").fetchnumpy())  # noqa: S608 - ours


@pytest.mark.parametrize("path", [SERVEGEN, SHARED])
def test_what_the_two_parameters_are(path: Path) -> None:
    """Gamma: shape and scale by the moments of the gaps. Weibull: shape and scale by a fit, so that the moments are near."""
    if not path.is_file():
        pytest.skip("the published traces are not in this checkout")
    gamma = servegen(path, "dist = 'Gamma' AND rate_rps * 600 >= 1000")
    np.testing.assert_allclose(gamma["p1"], gamma["cv"] ** -2, rtol=2e-5)
    mean_ratio = gamma["p1"] * gamma["p2"] * gamma["rate_rps"]
    assert np.median(np.abs(mean_ratio - 1)) < 0.003
    weibull = servegen(path, "dist = 'Weibull' AND rate_rps * 600 >= 1000")
    mean = weibull["p2"] * np.array([math.gamma(1 + 1 / shape) for shape in weibull["p1"]])
    assert 0.95 < np.median(mean * weibull["rate_rps"]) < 1.3
    assert np.quantile(np.abs(mean * weibull["rate_rps"] - 1), 0.9) < 1
    assert np.corrcoef(np.log(weibull["p1"]), np.log(weibull["cv"]))[0, 1] < -0.8


def test_the_extract_is_a_day_of_nine_clients() -> None:
    demand = load_clients(SERVEGEN)
    mix = mix_of(demand)
    assert mix.share.shape == (9, 144)
    np.testing.assert_allclose(mix.share.sum(axis=0), 1.0)
    assert demand.requests == pytest.approx(646_411, abs=1)
    assert mix.weibull.sum() == 167
    assert "9 clients, 144 windows of 600 s" in demand.source


@pytest.mark.skipif(not SHARED.is_file(), reason="the published traces are not in this checkout")
def test_the_whole_table_of_servegen_is_read() -> None:
    demand = load_clients(SHARED, only={"model": "m-small"})
    assert mix_of(demand).share.shape == (43, 2016)
    assert demand.rate_per_s.mean() == pytest.approx(1174.4, abs=0.1)
    with pytest.raises(TraceError, match="second of its client in its window"):
        load_clients(SHARED)


# ------------------------------------------------------------------------------------------------------ what a table becomes


def test_rows_become_shares_shapes_and_laws(write: Write) -> None:
    demand = load_clients(write("a.csv", lines(*TABLE)))
    mix = mix_of(demand)
    assert demand.rate_per_s.tolist() == [4, 2, 0, 5]
    assert (demand.bin_s, demand.duration_s) == (600, 2400)
    assert mix.share.tolist() == [[0.25, 0, 0, 1], [0.75, 1, 0, 0]]
    assert mix.shape.tolist() == [[0.25, 1, 1, 1], [0.7, 1, 1, 1]]
    assert mix.weibull.tolist() == [[False] * 4, [True, False, False, False]]


def test_the_cv_of_the_merging_is_weighed_by_rate(write: Write) -> None:
    demand = load_clients(write("a.csv", lines(HEADER, "a,0,3,2,gamma,.25,9", "b,0,1,4,gamma,.0625,9", "a,600,0,0,,0,0")))
    assert demand.interarrival_cv == pytest.approx(math.sqrt((3 * 4 + 1 * 16) / 4))


@pytest.mark.parametrize("header", [HEADER.replace("p1", "x"), HEADER])
def test_shapes_are_found_from_the_cv(write: Write, header: str) -> None:
    rows = ("a,0,1,2,Gamma,9,9", f"a,600,1,{math.sqrt(5)!r},Weibull,9,9", "a,1200,1,0,Gamma,9,9", "a,1800,1,0,Weibull,9,9")
    mix = mix_of(load_clients(write("a.csv", lines(header, *rows)), variation="cv"))
    assert mix.shape.tolist() == [[0.25, pytest.approx(0.5), math.inf, math.inf]]
    fitted = mix_of(load_clients(write("b.csv", lines(header, *rows))))
    assert fitted.shape.tolist() == ([[9] * 4] if "p1" in header else mix.shape.tolist())


def test_the_order_of_rows_does_not_matter(write: Write) -> None:
    head, *rows = TABLE
    sorted_by_client = [row for name in "ba" for row in rows if row.startswith(name)]
    first, second = (load_clients(write(f"{n}.csv", lines(head, *order))) for n, order in enumerate((rows, sorted_by_client)))
    assert mix_of(first).share.tobytes() == mix_of(second).share.tobytes()


def test_the_users_own_columns_unit_and_rows(write: Write, tmp_path: Path) -> None:
    rows = [("m1", 7, 0, 5.0, "exponential"), ("m2", 7, 0, 6.0, "exponential"), ("m2", 7, 60_000, 8.0, "exponential")]
    text = lines("which,who,when,load,how,spread", *(",".join(map(str, (*row, 1))) for row in rows))
    columns = {"client": "who", "time": "when", "rate": "load", "law": "how", "cv": "spread"}
    demand = load_clients(write("a.csv", text), columns=columns, time_unit="ms", only={"which": "m2"})
    assert demand.rate_per_s.tolist() == [6, 8]
    assert mix_of(demand).share.tolist() == [[1, 1]]
    values = ", ".join(f"('{a}', {b}, {c}, {d}, '{e}', 1.0)" for a, b, c, d, e in rows)
    sql = f"SELECT * FROM (VALUES {values}) t(which, who, when_ms, load, dist, cv)"  # noqa: S608 - ours
    duckdb.sql(sql).write_parquet(str(tmp_path / "a.parquet"))
    again = load_clients(
        tmp_path / "a.parquet", columns={"client": "who", "time": "when_ms", "rate": "load"}, only={"which": "m2"}
    )
    assert again.rate_per_s.tolist() == [6, 8]


def test_a_calendar_table_begins_at_its_first_midnight(write: Write) -> None:
    rows = [f"{name},2024-03-0{1 + h // 24} {h % 24:02d}:00:00,{h},1,Poisson" for h in range(18, 80) for name in "ab"]
    demand = load_clients(write("a.csv", lines("client,timestamp,rps,cv,dist", *rows)))
    assert demand.bin_s == 3600
    assert demand.rate_per_s.tolist() == [2.0 * hour for hour in range(24, 80)]
    assert "left out" in demand.source
    np.testing.assert_array_equal(mix_of(demand).share, 0.5)


# ----------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("rows", "line", "said"),
    [
        (("a,0,-1,1,Gamma,1,1", "a,600,1,1,Gamma,1,1"), 2, "'rate_rps', row 1: got -1, expected a rate of 0 or more"),
        (("a,0,1,1,Gamma,1,1", ",600,1,1,Gamma,1,1"), 3, "'client', row 2: got an empty cell, expected a client"),
        (
            ("a,0,1,1,Gamma,1,1", "a,600,1,1,Pareto,1,1"),
            3,
            "'dist', row 2: got another law, expected one of poisson, gamma, weibull",
        ),
        (("a,0,1,1,Gamma,1,1", "a,600,1,1,,1,1"), 3, "'dist', row 2: got another law"),
        (("a,0,1,1,Gamma,0,1", "a,600,1,1,Gamma,1,1"), 2, "'p1', row 1: got 0, expected a shape"),
        (("a,0,1,1,Weibull,0.001,1", "a,600,1,1,Gamma,1,1"), 2, "'p1', row 1: got 0.001, expected a shape"),
        (("a,0,1,1,Gamma,inf,1", "a,600,1,1,Gamma,1,1"), 2, "'p1', row 1: got inf"),
        (("a,0,nan,1,Gamma,1,1", "a,600,1,1,Gamma,1,1"), 2, "'rate_rps', row 1: got nan"),
        (("a,-600,1,1,Gamma,1,1", "a,0,1,1,Gamma,1,1"), 2, "'t_s', row 1: got -600, a time before its own zero"),
        (("a,0,1,1,Gamma,1,1", "b,0,1,1,Gamma,1,1"), 2, "one row does not say how long its bin is"),
        (("a,0,1,1,Gamma,1,1", "a,600,1,1,Gamma,1,1", "", "a,600,1,1,Gamma,1,1"), 5, "row 3 is the second of its client"),
        (
            ("a,0,1,1,Gamma,1,1", "a,600,1,1,Gamma,1,1", "a,1200,1,1,Gamma,1,1", "b,2400,1,1,Gamma,1,1"),
            5,
            "row 4 is not in the window after the one before: windows are 600 s wide",
        ),
        (("a,0,1,1,Gamma,1,1", "a,1e12,1,1,Gamma,1,1"), None, "days, more than 800"),
        (("a,0,1,1,Gamma,x,1", "a,600,1,1,Gamma,1,1"), 2, "a row cannot be read"),
    ],
)
def test_a_table_that_can_not_be_trusted_is_refused(write: Write, rows: tuple[str, ...], line: int | None, said: str) -> None:
    with pytest.raises(TraceError, match=said) as caught:
        load_clients(write("a.csv", lines(HEADER, *rows)))
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_cv_out_of_range_is_refused_where_it_is_used(write: Write) -> None:
    path = write("a.csv", lines(HEADER, "a,0,1,-2,Gamma,1,1", "a,600,1,1,Gamma,1,1"))
    assert load_clients(path).requests == 1200
    with pytest.raises(TraceError, match="'cv', row 1: got -2, expected a cv of 0 to 1000"):
        load_clients(path, variation="cv")


def test_columns_that_are_missing_are_named(write: Write) -> None:
    for missing, said in (("client", "no client column"), ("dist", "no law column"), ("rate_rps", "no rate column")):
        with pytest.raises(TraceError, match=said):
            load_clients(write("a.csv", lines(HEADER.replace(missing, "other"), *TABLE[1:])))
    with pytest.raises(TraceError, match="no cv column"):
        load_clients(write("a.csv", lines(HEADER.replace("cv", "x").replace("p1", "y"), *TABLE[1:])))


def test_a_choice_of_rows_that_can_not_be_is_refused(write: Write) -> None:
    path = write("a.csv", lines(*TABLE))
    with pytest.raises(TraceError, match="column 'cleint' of `only` is not in the file\nResolve: use 'client'"):
        load_clients(path, only={"cleint": "a"})
    with pytest.raises(TraceError, match="no row has client = 'c'"):
        load_clients(path, only={"client": "c"})


def test_a_table_too_large_to_hold_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.demand.clients.MAX_CELLS", 7)
    with pytest.raises(TraceError, match="2 clients in 4 windows are more than 7 cells"):
        load_clients(write("a.csv", lines(*TABLE)))
