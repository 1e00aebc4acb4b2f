"""Places of a workload: where users are and how far from where machines may stand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.base.places import Infrastructure
from tightrope.base.records import Demand, Workload
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand.places import part_of
from tightrope.demand.workload import load_workload

WHERE = "  aws: [us-east-1]\n"
TWO = "  aws: [us-east-1, us-west-2]\n"


@pytest.fixture
def load(write: Callable[..., object], small: str) -> Callable[..., Workload]:
    """Return a function that loads the small workload against the real book, with some of its text replaced: pairs of old and new."""
    book: PriceBook = load_price_book()

    def read(*changes: tuple[str, str]) -> Workload:
        text = small
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        return load_workload(write("workload.yaml", text), book)  # type: ignore[arg-type]

    return read


def users(stated: str) -> tuple[str, str]:
    return "    constant: {rate_per_s: 2}\n", f"    constant: {{rate_per_s: 2}}\n    users: {stated}\n"


def test_a_class_is_parted_by_the_places_of_its_users(load: Callable[..., Workload]) -> None:
    found = load((WHERE, TWO), users("{us-east-1: 75 %, us-west-2: 25 %}"))
    assert [(item.name, item.place) for item in found.classes] == [
        ("chat.us-east-1", ("aws", "us-east-1")),
        ("chat.us-west-2", ("aws", "us-west-2")),
    ]
    assert [float(item.demand.rate_per_s.mean()) for item in found.classes] == pytest.approx([1.5, 0.5])
    assert found.variants[0].serves == {"chat.us-east-1": 1.0, "chat.us-west-2": 1.0}
    assert found.today[0].classes == ("chat.us-east-1", "chat.us-west-2")


def test_users_in_one_place_leave_the_class_its_name(load: Callable[..., Workload]) -> None:
    (chat,) = load(users("{us-east-1: 100 %}")).classes
    assert (chat.name, chat.place) == ("chat", ("aws", "us-east-1"))


def test_a_round_trip_holds_both_ways(load: Callable[..., Workload]) -> None:
    found = load((WHERE, TWO + "  together: true\n  round_trip: {us-east-1: {us-west-2: 70 ms}}\n")).where
    assert found.together
    assert found.round_trip_s == {("us-east-1", "us-west-2"): 0.07, ("us-west-2", "us-east-1"): 0.07}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((users("{us-east-1: 60 %}"),), "are 60 % together, expected 100 %"),
        ((users("{us-est-1: 100 %}"),), "unknown aws region 'us-est-1'"),
        (((WHERE, WHERE + "  round_trip: {us-east-1: {mars: 1 s}}\n"),), "unknown region of where or users 'mars'"),
        (
            ((WHERE, TWO + "  round_trip: {us-east-1: {us-west-2: 70 ms}, us-west-2: {us-east-1: 80 ms}}\n"),),
            "is stated as 0.07 s and 0.08 s",
        ),
        (
            ((WHERE, "  aws: [us-east-1, us-east-2, us-west-2, eu-west-1, eu-central-1]\n  together: true\n"),),
            "together is stated for 5 regions, expected 4 or fewer",
        ),
        (((WHERE, WHERE + "  togethr: [us-east-1]\n"),), "where: unknown key 'togethr'"),
        (((WHERE, WHERE + "  togethr: true\n"),), "where: unknown key 'togethr'"),
    ],
    ids=["shares", "place", "mars", "two-ways", "five", "misspelt", "misspelt-word"],
)
def test_a_slip_in_places_is_told(load: Callable[..., Workload], changes: tuple[tuple[str, str], ...], says: str) -> None:
    with pytest.raises(InputError) as caught:
        load(*changes)
    assert says in caught.value.what
    assert caught.value.where is not None


@pytest.mark.parametrize("together", [True, False])
def test_a_place_without_machines_may_have_users(load: Callable[..., Workload], *, together: bool) -> None:
    found = load((WHERE, WHERE + f"  together: {str(together).lower()}\n"), users("{us-east-1: 50 %, eu-west-1: 50 %}"))
    assert [item.place for item in found.classes] == [("aws", "us-east-1"), ("aws", "eu-west-1")]


def test_infrastructure_has_named_defaults(load: Callable[..., Workload]) -> None:
    assert load().infrastructure == Infrastructure(100.0, True, True, 0, 0.0, 0.0)
    stated = (
        "infrastructure: {disk: 50 GB, control_plane: false, nat_gateways: 3, nat_per_request: 2 kB, cross_zone_share: 50 %}\n"
    )
    found = load(("proof:", stated + "proof:")).infrastructure
    assert found == Infrastructure(50.0, True, False, 3, 2000.0, 0.5)


def test_what_survives_has_defaults_that_ask_for_nothing(load: Callable[..., Workload]) -> None:
    purchase = load().purchase
    assert (purchase.n_plus_one_share, purchase.zone_loss_share, purchase.min_spot_zones) == (0.0, 0.0, 1)


@given(cv=st.floats(0.2, 5.0), share=st.floats(0.05, 1.0))
def test_a_part_is_closer_to_poisson_than_the_whole(rates_of: Callable[..., Demand], cv: float, share: float) -> None:
    part = part_of(rates_of(np.ones(3), cv=cv), share, np.zeros(0, dtype=bool))
    assert abs(part.interarrival_cv**2 - 1.0) <= abs(cv**2 - 1.0) + 1e-9
    assert part.requests == pytest.approx(share * 1800.0)
