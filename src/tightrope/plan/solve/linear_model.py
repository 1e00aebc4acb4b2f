"""A thin layer over HiGHS: columns in named blocks, rows under the name of their constraint family."""

from dataclasses import dataclass, field
from typing import Any, Literal

import highspy
import numpy as np

from tightrope.base.records import FloatArray, IntArray

INFINITY = highspy.kHighsInf
MOST_NODES = 20_000
WITHOUT_DUAL_FIXING = 1 << 17
"""HiGHS 1.16.0's presolve rule 17 may call a worse solution optimal, and its cost a bound (its issues 3094 and 3274 are alike)."""
PLAIN = {"mip_heuristic_effort": 0.0, "mip_allow_restart": False, "mip_pscost_minreliable": 0}


@dataclass(frozen=True, slots=True)
class LinearResult:
    """What the solver found; ``values`` is float64[columns], ``duals`` float64[rows] (of an LP), empty where there is none."""

    status: Literal["optimal", "infeasible", "limit"]
    objective: float
    bound: float
    """What no solution can cost less than."""
    values: FloatArray
    duals: FloatArray


class _Solver(highspy.Highs):
    """HiGHS without Python callbacks: registering them prints a banner and serves nothing here."""

    def __init__(self) -> None:
        """Start silent."""
        super(highspy.Highs, self).__init__()
        self.setOptionValue("output_flag", "false")


@dataclass(slots=True)
class LinearModel:
    """A minimisation that grows by columns and rows."""

    cost: list[FloatArray] = field(default_factory=list)
    lower: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    columns: int = 0
    families: list[str] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    row_columns: list[IntArray] = field(default_factory=list)
    row_values: list[FloatArray] = field(default_factory=list)

    def add_columns(self, cost: FloatArray, upper: FloatArray | float = INFINITY, *, integer: bool = False) -> IntArray:
        """Add one column per entry of ``cost`` (float64[k]), each from 0 to ``upper``; return their indices, int64[k]."""
        size = len(cost)
        self.cost.append(np.asarray(cost, dtype=np.float64))
        self.lower.append(np.zeros(size))
        self.upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), (size,)))
        self.integer += [integer] * size
        self.columns += size
        return np.arange(self.columns - size, self.columns)

    def add_row(self, family: str, columns: IntArray, values: FloatArray, lower: float, upper: float) -> int:
        """Add ``lower <= values @ columns <= upper`` under its family's name; return its index. Zero coefficients are left out."""
        kept = values != 0.0
        self.families.append(family)
        self.row_columns.append(columns[kept])
        self.row_values.append(values[kept])
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return len(self.families) - 1

    def solve(self, *, relaxed: bool = False, gap: float = 1e-4, nodes: int = MOST_NODES, plain: bool = False) -> LinearResult:
        """Solve it, as an LP where ``relaxed``; stop within the relative ``gap`` or after ``nodes`` branches with what is known then.

        ``plain`` branches at once, without searching for solutions beside: faster on programs of one block, where those abound. No
        clock decides, so that the same model gives the same answer on any machine.
        """
        solver = _Solver()
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("mip_rel_gap", gap)
        solver.setOptionValue("mip_max_nodes", nodes)
        solver.setOptionValue("presolve_rule_off", WITHOUT_DUAL_FIXING)
        if plain:
            for name, value in PLAIN.items():
                solver.setOptionValue(name, value)
        solver.passModel(self.lp(relaxed=relaxed))
        solver.run()
        return _result(solver, mip=not relaxed and any(self.integer))

    def relaxed(self) -> "RelaxedModel":
        """Return the model as an LP that is solved again and again."""
        return RelaxedModel(self)

    def lp(self, *, relaxed: bool) -> highspy.HighsLp:
        """Return the model in HiGHS's own form, rows first."""
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.columns, len(self.families)
        lp.col_cost_ = np.concatenate(self.cost)
        lp.col_lower_, lp.col_upper_ = np.concatenate(self.lower), np.concatenate(self.upper)
        lp.row_lower_, lp.row_upper_ = np.array(self.row_lower), np.array(self.row_upper)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum([len(row) for row in self.row_columns])]).astype(np.int32)
        lp.a_matrix_.index_ = np.concatenate([np.zeros(0), *self.row_columns]).astype(np.int32)
        lp.a_matrix_.value_ = np.concatenate([np.zeros(0), *self.row_values])
        if not relaxed:
            kinds = {True: highspy.HighsVarType.kInteger, False: highspy.HighsVarType.kContinuous}
            lp.integrality_ = [kinds[whole] for whole in self.integer]
        return lp


class RelaxedModel:
    """A linear program that is solved again with other bounds of some columns: each time from where it was left."""

    def __init__(self, model: LinearModel) -> None:
        """Hand it over, without its whole numbers."""
        self._solver = _Solver()
        self._solver.setOptionValue("threads", 1)
        self._solver.passModel(model.lp(relaxed=True))

    def solve(self, columns: IntArray, lower: FloatArray, upper: FloatArray, rows: IntArray, most: FloatArray) -> LinearResult:
        """Solve it with these bounds of ``columns`` (int64[k], both float64[k]), and no more than ``most`` (float64[r]) in ``rows``."""
        self._solver.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)
        change: Any = self._solver.changeRowsBounds  # pyrefly: ignore[missing-attribute] - not in the library's stubs
        change(len(rows), rows.astype(np.int32), np.full(len(rows), -INFINITY), most)
        self._solver.run()
        return _result(self._solver, mip=False)


def _result(solver: highspy.Highs, *, mip: bool) -> LinearResult:
    """Read HiGHS's answer; an unbounded-or-infeasible model of ours is infeasible, since every column costs something or nothing."""
    status, info, solution = solver.getModelStatus(), solver.getInfo(), solver.getSolution()
    infeasible = {highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible}
    if status in infeasible:
        return LinearResult("infeasible", np.inf, np.inf, np.zeros(0), np.zeros(0))
    optimal = status == highspy.HighsModelStatus.kOptimal
    bound = info.mip_dual_bound if mip else (info.objective_function_value if optimal else -np.inf)
    found = np.array(solution.col_value) if solution.value_valid else np.zeros(0)
    objective = info.objective_function_value if solution.value_valid else np.inf
    duals = np.array(solution.row_dual) if solution.dual_valid else np.zeros(0)
    return LinearResult("optimal" if optimal else "limit", objective, bound, found, duals)
