"""The families: named alike everywhere, each with words and the field that loosens it."""

import re
from types import ModuleType

import numpy as np
import pytest

from tightrope.demand.schema import WorkloadFile
from tightrope.plan.constraints import FAMILIES, add_block, add_commitment, add_deadline, work_hours
from tightrope.plan.model import Model


def test_every_row_belongs_to_a_family_and_every_family_has_rows(brute: ModuleType) -> None:
    sold = (
        brute.Sold("m0.0", "0.10", (1.0,), plan="0.05", work=1.0, variant=0),
        brute.Sold("m1.0", "0.10", (1.0,), spot=True, variant=1),
    )
    case = brute.Case(
        sold,
        ((1.0,),),
        share_cap=((1.0, 0.5),),
        quality=(1.0, 0.9),
        quality_floor=(0.95,),
        windows=(((0,), 60.0),),
        quotas={"m0": 4},
        max_spot_share=0.5,
        spot_zone_loss_share=0.5,
    )
    model = Model()
    columns = add_block(model, case.problem, 0, 1.0, np.zeros(2), deferrable=True)
    add_commitment(model, case.problem, columns, 1.0)
    add_deadline(model, case.problem, 0, {0: columns})
    assert set(model.families) == set(FAMILIES)


def test_every_remedy_names_a_field_of_the_workload() -> None:
    known = set(re.findall(r'"(\w+)"', str(WorkloadFile.model_json_schema()).replace("'", '"')))
    for family in FAMILIES.values():
        fields = [part for part in re.split(r"[.\s]", family.fix) if part not in {"or", ""} and not part.startswith("<")]
        assert fields
        assert set(fields) <= known, family.name


def test_machine_hours_of_work(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), work=0.5), brute.Sold("m1.0", "0.10", (1.0,)))
    problem = brute.Case(sold, ((0.0,),), windows=(((0,), 3600.0),)).problem
    assert work_hours(problem, 0).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("machines", [1.0, 2.0])
def test_a_covered_hour_is_never_more_than_the_machine_runs(brute: ModuleType, machines: float) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05"),), ((machines,),))
    model = Model()
    columns = add_block(model, case.problem, 0, 1.0, np.zeros(1), deferrable=False)
    add_commitment(model, case.problem, columns, 100.0)
    assert model.solve().values[columns.covered].tolist() == [machines]
