"""The reader of catalogue tables believes nothing."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.clouds.catalogue_tables import MAX_FILE_BYTES, CsvCloud, load_catalogue

Write = Callable[..., Path]


def _replace(write: Write, folder: Path, table: str, old: str, new: str) -> Path:
    """Write the small catalogue, then change one thing in one table."""
    path = write(folder) / f"{table}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder


def test_reads_every_column(tmp_path: Path, write_catalogue: Write) -> None:
    catalogue = load_catalogue(write_catalogue(tmp_path))
    small, large = catalogue.machines
    assert (small.name, small.vcpu, small.memory_gib, small.accelerator, small.source) == ("box.small", 2, 4.0, "", "shop")
    assert (large.accelerator, large.accelerators, large.accelerator_memory_gib, large.arch) == ("t4", 1, 16.0, "arm64")
    spot = catalogue.prices[2]
    assert (spot.usd_per_hour, spot.zones, spot.interruptions_per_month, spot.basis) == (Decimal("0.05"), 3, 0.2, "derived")
    assert spot.source == "the shop's list [public]; the shop's bands [public]"
    assert spot.seen == date(2026, 2, 1)
    assert catalogue.prices[0].interruptions_per_month is None
    assert catalogue.unit_prices[0].usd == Decimal("0.09")


def test_column_order_and_byte_order_mark_do_not_matter(tmp_path: Path, write_catalogue: Write) -> None:
    turned = "\ufeffusd,cloud,region,item,unit,basis,source,seen\n0.09,here,town,internet-egress,GB,list,shop,2026-01-01\n"
    assert load_catalogue(write_catalogue(tmp_path / "a", unit_prices=turned)).unit_prices == (
        load_catalogue(write_catalogue(tmp_path / "b")).unit_prices
    )


@pytest.mark.parametrize(
    ("table", "old", "new", "line", "says"),
    [
        ("machines", "vcpu", "vcpus", 1, "rename it vcpu"),
        ("machines", "vcpu", "cores", 1, "unknown column 'cores'"),
        ("machines", ",vcpu", "", 1, "'vcpu' is there 0 times"),
        ("machines", "vcpu", "name", 1, "'name' is there 2 times"),
        ("machines", "box.small,box,2", "box.small,box,two", 2, "got 'two', expected a whole number"),
        ("machines", "box.small,box,2", "box.small,box,-2", 2, "got '-2', expected a whole number"),
        ("machines", "box.small,box,2", "box.small,box,0", 2, "got '0', expected a whole number of 1 or more"),
        ("machines", "box.small,box,2,4", "box.small,box,2,nan", 2, "got 'nan', expected GiB"),
        ("machines", "box.small,box,2,4", "box.small,box,2,inf", 2, "got 'inf', expected GiB"),
        ("machines", "here,box.small", "here,", 2, "column 'name': got '', expected some text"),
        ("machines", "here,box.large", "here,box.small", 3, "repeats box.small, which line 2 has already"),
        ("machines", "amd64,,", "amd64,", 2, "the row has 10 cells, expected 11"),
        ("machines", "@list", "@lost", 3, "keys of sources.csv (@bands, @list)"),
        ("prices", "0.10", "0", 2, "got '0', expected a price"),
        ("prices", "0.10", "-0.10", 2, "got '-0.10', expected a price"),
        ("prices", "0.10", "NaN", 2, "got 'NaN', expected a price"),
        ("prices", "0.10", "sNaN", 2, "got 'sNaN', expected a price"),
        ("prices", "0.10", "1E-400", 2, "expected a price"),
        ("prices", "0.10", "free", 2, "got 'free', expected a price"),
        ("prices", "0.10,3", "0.10,-3", 2, "got '-3', expected a whole number of 0 or more"),
        ("prices", "0.20", "-0.1", 4, "got '-0.1', expected a share"),
        ("prices", "0.20", "1.0", 4, "got '1.0', expected a share"),
        ("prices", "list,shop", "guess,shop", 2, "got 'guess', expected list or derived"),
        ("prices", "2026-01-01", "2026-02-30", 2, "expected a date such as"),
        ("prices", "town,box.small", "town,box.tiny", 2, "expected a machine that machines.csv describes"),
        ("prices", "2026-03-01", "2026-01-01", 3, "repeats town, box.small, on-demand, 2026-01-01"),
        ("unit_prices", "0.09", "", 2, "got '', expected a price"),
        ("sources", "key,", "kee,", 1, "rename it key"),
        ("sources", "the shop's list", "", 2, "'description': got ''"),
    ],
)
def test_refuses_with_line_and_remedy(
    tmp_path: Path, write_catalogue: Write, table: str, old: str, new: str, line: int, says: str
) -> None:
    folder = _replace(write_catalogue, tmp_path, table, old, new)
    with pytest.raises(InputError) as caught:
        load_catalogue(folder)
    assert str(caught.value).startswith(f"{folder / table}.csv:{line}: ")
    assert says in str(caught.value)
    assert caught.value.resolve


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b'"open', b"PK\x03\x04" + bytes(range(256))])
def test_refuses_what_is_no_table(tmp_path: Path, write_catalogue: Write, content: bytes) -> None:
    (write_catalogue(tmp_path) / "prices.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"prices\.csv"):
        load_catalogue(tmp_path)


def test_refuses_a_huge_table_unread(tmp_path: Path, write_catalogue: Write) -> None:
    with (write_catalogue(tmp_path) / "prices.csv").open("ab") as file:
        os.truncate(file.fileno(), MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="no regular file of at most"):
        load_catalogue(tmp_path)


def test_refuses_what_is_no_file(tmp_path: Path, write_catalogue: Write) -> None:
    (write_catalogue(tmp_path, sources=None) / "sources.csv").mkdir()
    with pytest.raises(InputError, match=r"sources\.csv: the table is no regular file"):
        load_catalogue(tmp_path)


def test_refuses_a_folder_without_tables(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no catalogue"):
            load_catalogue(folder)


def test_refuses_a_price_of_another_clouds_machine(tmp_path: Path, write_catalogue: Write) -> None:
    with pytest.raises(InputError, match=r"box\.small in town has a price of cloud 'there', but 'here' sells it"):
        load_catalogue(_replace(write_catalogue, tmp_path, "prices", "here,town,box.small", "there,town,box.small"))


def test_one_table_alone_is_enough(tmp_path: Path, write_catalogue: Write) -> None:
    only = write_catalogue(tmp_path, machines=None, prices=None, sources=None)
    assert load_catalogue(only).machines == ()
    assert len(load_catalogue(only).unit_prices) == 1


def test_csv_cloud_reads_its_folder(tmp_path: Path, write_catalogue: Write) -> None:
    cloud = CsvCloud("here", write_catalogue(tmp_path), frozenset({"machines"}))
    catalogue = load_catalogue(tmp_path)
    assert (cloud.catalogue().machines, cloud.catalogue().prices, cloud.catalogue().unit_prices) == (
        catalogue.machines,
        catalogue.prices,
        catalogue.unit_prices,
    )


TABLES = st.sampled_from(["machines.csv", "prices.csv", "unit_prices.csv", "sources.csv"])
CELLS = st.text(max_size=12) | st.sampled_from(
    ["box.small", "@list", "2026-01-01", "list", "1", "0.1", "1e999", "NaN", "here", ""]
)


@given(table=TABLES, content=st.binary(max_size=300))
@example(table="prices.csv", content=b"\x00" * 40)
def test_random_bytes_are_an_input_error_or_a_catalogue(write_catalogue: Write, table: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (write_catalogue(Path(folder)) / table).write_bytes(content)
        with contextlib.suppress(InputError):
            load_catalogue(Path(folder))


@given(table=TABLES, data=st.data())
def test_random_rows_are_an_input_error_or_sane(write_catalogue: Write, table: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_catalogue(Path(folder)) / table
        width = path.read_text().splitlines()[0].count(",") + 1
        row = data.draw(st.lists(CELLS, min_size=width, max_size=width))
        with path.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(",".join(row) + "\n")
        with contextlib.suppress(InputError):
            catalogue = load_catalogue(Path(folder))
            assert all(0 < float(row.usd_per_hour) < 1e6 and row.source for row in catalogue.prices)
            assert all(machine.vcpu > 0 and machine.memory_gib > 0 for machine in catalogue.machines)


@given(st.decimals(min_value=Decimal("1e-9"), max_value=Decimal(999_999), allow_nan=False))
def test_money_is_kept_exactly(write_catalogue: Write, price: Decimal) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = f"cloud,region,item,unit,usd,basis,source,seen\nhere,town,block-storage,GB-month,{price},list,shop,2026-01-01\n"
        assert load_catalogue(write_catalogue(Path(folder), unit_prices=rows)).unit_prices[0].usd == price


@pytest.mark.parametrize(
    ("item", "unit", "words"),
    [
        ("internet-egres", "GB", "unknown item 'internet-egres'.*\nResolve: use internet-egress"),
        ("internet-egress", "TB", "internet-egress per 'TB': expected a price per GB or GiB"),
    ],
)
def test_a_unit_that_nobody_reckons_in_is_refused(
    tmp_path: Path, write_catalogue: Callable[..., Path], item: str, unit: str, words: str
) -> None:
    rows = f"cloud,region,item,unit,usd,basis,source,seen\nhere,town,{item},{unit},85,list,shop,2026-01-01\n"
    with pytest.raises(InputError, match=words):
        load_catalogue(write_catalogue(tmp_path, unit_prices=rows))
