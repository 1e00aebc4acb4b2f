"""The families: named alike everywhere, each with words and the field that loosens it."""

import re
from types import ModuleType

import numpy as np
import pytest

from tightrope.demand.schema import WorkloadFile
from tightrope.plan.solve.constraints import FAMILIES, add_block, add_commitments, add_deadline, work_hours
from tightrope.plan.solve.linear_model import LinearModel


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
        zone_loss_share=0.2,
        n_plus_one_share=0.3,
    )
    model = LinearModel()
    columns = add_block(model, case.problem, 0, 1.0, deferrable=True)
    add_commitments(model, case.problem, columns, np.array([1.0]))
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
    model = LinearModel()
    columns = add_block(model, case.problem, 0, 1.0, deferrable=False)
    add_commitments(model, case.problem, columns, np.array([100.0]))
    assert model.solve().values[columns.covered].tolist() == [machines]


def test_two_commitments_share_one_machine_hour(brute: ModuleType) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05", reserved="0.04"),), ((1.0,),))
    model = LinearModel()
    columns = add_block(model, case.problem, 0, 1.0, deferrable=False)
    add_commitments(
        model, case.problem, columns, np.array([0.02, 0.02])
    )  # half a reserved machine, and two fifths at the plan's rate
    result = model.solve()
    assert result.values[columns.covered].tolist() == pytest.approx([0.5, 0.4])
    assert result.objective == pytest.approx(brute.DISK_USD_PER_HOUR + 0.1 * 0.10)


def test_what_is_committed_already_covers_beside_what_is_bought(brute: ModuleType) -> None:
    existing = {("compute-savings-plan-1y-no-upfront", ""): 0.04}
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05"),), ((2.0,),), existing=existing)
    model = LinearModel()
    more = model.add_columns(np.array([1.0]))
    columns = add_block(model, case.problem, 0, 1.0, deferrable=False)
    add_commitments(model, case.problem, columns, more)
    result = model.solve()
    assert result.values[more].tolist() == pytest.approx([0.06])
    assert result.values[columns.covered].tolist() == [2.0]


def test_machines_of_ones_own_run_only_as_far_as_they_are_covered(brute: ModuleType) -> None:
    own = brute.Sold("m0.0", "0.05", (1.0,), plan="0.05", only_covered=True)
    existing = {("compute-savings-plan-1y-no-upfront", ""): 0.10}
    case = brute.Case((own, brute.Sold("m1.0", "0.20", (1.0,))), ((3.0,),), existing=existing, closed=True)
    model = LinearModel()
    columns = add_block(model, case.problem, 0, 1.0, deferrable=False)
    add_commitments(model, case.problem, columns, case.problem.existing_usd_per_hour)
    assert model.solve().values[columns.machines].tolist() == [2.0, 1.0]


def test_a_metered_option_serves_without_machines_by_the_request(brute: ModuleType) -> None:
    usd_per_request = 1e-5
    sold = (
        brute.Sold("m0.0", "0.10", (1.0,)),
        brute.Sold("api.0", "0.00", (1.0,), metered=True, usd_per_request=(usd_per_request,)),
    )
    case = brute.Case(sold, ((2.5,),))
    model = LinearModel()
    columns = add_block(model, case.problem, 0, 1.0, deferrable=False, covers=False)
    result = model.solve(gap=0.0)
    # a request/s costs $0.036 an hour of the service and $0.11 of machines
    assert result.values[columns.machines].tolist() == [0.0, 0.0]
    assert result.values[columns.share].tolist() == [[0.0, 1.0]]
    assert result.objective == pytest.approx(2.5 * 3600.0 * usd_per_request)
