"""Commitments already made and futures: what they load as, and every mistake with its line and remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tightrope.base.errors import InputError
from tightrope.base.future import Future, Move, Scenario
from tightrope.base.records import Committed, Workload
from tightrope.demand.price_names import PriceNames
from tightrope.demand.workload import load_workload

Load = Callable[[str], Workload]
FUTURE = """\
future:
  months: 24
  scenarios:
    - {name: steady, weight: 60 %}
    - name: moved
      weight: 40 %
      growth_per_month: -2 %
      moves:
        - {from: g4dn, to: c6i, by_month: 9, ratio: 1.5}
"""


@pytest.fixture
def load(tmp_path: Path, book: PriceNames, offers: dict[str, str], small: str) -> Load:
    """Return a function that loads the small workload with existing commitments, or with text behind it."""

    def read(text: str) -> Workload:
        path = tmp_path / "workload.yaml"
        behind = "offers: [on-demand, spot]\n"
        whole = small.replace(behind, behind + f"  existing:\n    - {text}\n") if text.startswith("{") else small + text
        path.write_text(whole, encoding="utf-8")
        return load_workload(path, book, offers)

    return read


def test_what_is_not_stated_is_a_year_like_the_week_and_nothing_committed(load: Load) -> None:
    workload = load("")
    assert workload.future == Future(12, ())
    assert (workload.purchase.existing, workload.purchase.min_utilisation) == ((), 0.0)


@pytest.mark.parametrize(
    ("stated", "made"),
    [
        ("{offer: plan-1y, usd_per_hour: 3.5}", Committed("aws", "plan-1y", "", 3.5)),
        ("{offer: family-1y, scope: us-east-1/c6i, usd_per_hour: 2}", Committed("aws", "family-1y", "us-east-1/c6i", 2.0)),
        (
            "{offer: family-1y, scope: us-east-1/c6i.large, usd_per_hour: 2}",
            Committed("aws", "family-1y", "us-east-1/c6i", 2.0),
        ),
        (
            "{offer: reserved-1y, machine: g4dn.xlarge, region: us-east-1, machines: 5}",
            Committed("aws", "reserved-1y", "us-east-1/g4dn.xlarge", 3.0),
        ),
        (
            "{offer: reserved-1y, machine: c6i.large, region: us-east-1, machines: 5}",
            Committed("aws", "reserved-1y", "us-east-1/c6i", 3.0),
        ),
        ("{offer: both-1y, machine: c6i.large, region: us-east-1, machines: 1}", Committed("aws", "both-1y", "", 0.6)),
    ],
)
def test_a_commitment_already_made_is_known_as_bills_know_it(load: Load, stated: str, made: Committed) -> None:
    (found,) = load(stated).purchase.existing
    assert found == made


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("{offer: plan-2y, usd_per_hour: 3}", "unknown commitment 'plan-2y'\nResolve: use plan-1y"),
        ("{offer: both-1y, usd_per_hour: 3}", "'both-1y' is sold by aws and other"),
        ("{offer: plan-1y}", "expected either usd_per_hour"),
        ("{offer: plan-1y, usd_per_hour: 3, machines: 2}", "expected either usd_per_hour"),
        ("{offer: reserved-1y, machine: c6i.large, machines: 2}", "expected either usd_per_hour"),
        ("{offer: plan-1y, scope: us-east-1/c6i, usd_per_hour: 3}", "expected no scope"),
        ("{offer: family-1y, scope: us-east-1, usd_per_hour: 3}", "expected a region/family"),
        ("{offer: family-1y, scope: us-eats-1/c6i, usd_per_hour: 3}", "unknown region 'us-eats-1'\nResolve: use us-east-1"),
        ("{offer: family-1y, scope: us-east-1/c6, usd_per_hour: 3}", "unknown machine 'c6'"),
        ("{offer: reserved-1y, machine: c6i.large, region: us-west-2, machines: 2}", "no price is known for c6i.large"),
        ("{offer: reserved-1y, machine: c6i.lage, region: us-east-1, machines: 2}", "use c6i.large"),
    ],
)
def test_a_commitment_that_can_not_be_is_refused_by_its_line(load: Load, stated: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(stated)
    assert message in str(caught.value)
    assert str(caught.value).split(": ")[0].endswith("workload.yaml:20")


def test_a_commitment_of_a_cloud_that_does_not_sell_it_is_refused(load: Load) -> None:
    with pytest.raises(InputError, match="unknown commitment of aws 'only-other'") as caught:
        load("{offer: only-other, machine: c6i.large, region: us-east-1, machines: 2}")
    assert "plan-1y" in str(caught.value)


def test_a_future_is_what_it_says(load: Load) -> None:
    future = load(FUTURE).future
    moved = Scenario("moved", 0.4, -0.02, (Move("g4dn", "c6i", 9, 1.5),))
    assert future == Future(24, (Scenario("steady", 0.6, 0.0), moved))


def test_thirds_are_made_to_fit(load: Load) -> None:
    lines = "".join(f"    - {{name: {name}, weight: 33.33 %}}\n" for name in "abc")
    scenarios = load(f"future:\n  scenarios:\n{lines}").future.scenarios
    assert sum(scenario.weight for scenario in scenarios) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("40 %", "30 %", 24, "the weights are 90 % together, expected 100 %"),
        ("name: moved", "name: steady", 24, "'steady' stands twice"),
        ("to: c6i", "to: g4dn", 30, "moves from 'g4dn' to itself"),
        ("to: c6i", "to: c7", 30, "unknown machine 'c7'"),
        ("from: g4dn", "from: g4dn.large", 30, "use g4dn.xlarge"),
        ("from: g4dn", "form: g4dn", 30, "unknown key 'form'\nResolve: use from"),
        ("by_month: 9", "by_month: 0", 30, "by_month"),
        ("ratio: 1.5", "ratio: 0", 30, "ratio"),
        ("-2 %", "-100 %", 28, "growth_per_month"),
        ("-2 %", "60 %", 22, "'moved' grows by 60 % a month, to 7.92e+04 times in 24 months"),
        ("months: 24", "months: 0", 23, "months"),
        ("moves:", "move:", 29, "Resolve: use moves"),
    ],
)
def test_a_mistake_in_a_future_names_its_line(load: Load, old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(FUTURE.replace(old, new))
    assert message in str(caught.value)
    assert f"workload.yaml:{line}:" in str(caught.value)
