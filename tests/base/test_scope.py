"""Format of a commitment's scope for each kind of rule."""

from datetime import date
from decimal import Decimal
from typing import Literal

import pytest

from tightrope.base.catalogue import CommitmentRule, MachineType
from tightrope.base.scope import format_scope

DAY = date(2026, 11, 25)
MACHINE = MachineType("aws", "c6i.large", "c6i", 2, 4.0, "x86_64", "", 0, 0.0, "test", DAY)


@pytest.mark.parametrize(
    ("scope", "inflexible", "written"),
    [
        ("any", "", ""),
        ("region", "", "r1"),
        ("family", "", "r1/c6i"),
        ("machine", "", "r1/c6i"),
        ("machine", "g5 c6i", "r1/c6i.large"),
        ("machine", "*", "r1/c6i.large"),
    ],
)
def test_the_scope_that_covers_a_machine(
    scope: Literal["machine", "family", "region", "any"], inflexible: str, written: str
) -> None:
    rule = CommitmentRule("aws", "plan", scope, 1, Decimal(0), 1, inflexible, "", "fixed", "test", DAY)
    assert format_scope(rule, MACHINE, "r1") == written
