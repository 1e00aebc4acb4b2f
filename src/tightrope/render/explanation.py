"""The explanation on the terminal: what each lever saves, what binds, what comes next, and where the answer changes."""

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.base.explanation import Alternative
from tightrope.base.plan import Plan
from tightrope.render import explanation_formats, formats, plan_warnings
from tightrope.render.terminal import add_rows, grid, labelled_grid, plain_text


def print_explanation(plan: Plan, console: Console) -> None:
    """Print why the plan is as it is, fitted to the console's width."""
    table = labelled_grid("left")
    add_rows(table, "levers", _levers(plan))
    add_rows(table, "binds", [plain_text(explanation_formats.limit_value(item)) for item in plan.binding])
    add_rows(table, "next best", map(_alternative, plan.alternatives))
    add_rows(table, "break-even", [plain_text(explanation_formats.break_even(item)) for item in plan.break_evens])
    add_rows(table, "if", [plain_text(explanation_formats.sensitivity(item)) for item in plan.sensitivities])
    add_rows(table, "futures", [plain_text(_future(plan, number)) for number in range(len(plan.futures))])
    add_rows(table, "warnings", map(plain_text, [*plan_warnings.rank_warnings(plan), *plan_warnings.unplanned_options(plan)]))
    if table.row_count:
        console.print()
        console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _levers(plan: Plan) -> list[Table]:
    """Return the levers in order, with what each saves after those before it and by itself."""
    if not plan.levers:
        return []
    table = grid("left!", "right!", "right!")
    table.add_row("", Text("in order", "dim"), Text("by itself", "dim"))
    for lever in plan.levers:
        alone = "—" if lever.alone_usd is None else formats.usd(lever.alone_usd)
        table.add_row(plain_text(lever.name), Text(formats.usd(lever.saving_usd)), Text(alone))
    return [table]


def _alternative(item: Alternative) -> RenderableType:
    """Return a next-best plan: what it does without, what it costs more, its pools."""
    said = plain_text(f"{item.what}: {explanation_formats.cost_difference(item.more_usd, item.monthly_cost_usd)}")
    return Group(said, plain_text(f"  {'; '.join(item.pools)}", "dim"))


def _future(plan: Plan, number: int) -> str:
    """Return one future in a line."""
    item = plan.futures[number]
    used = ", ".join(formats.percent(share, 0) for share in item.utilisation)
    return (
        f"{item.name} ({formats.percent(item.weight, 0)}): {formats.usd(item.monthly_cost_usd)} a month, "
        f"{formats.usd(item.uncommitted_monthly_cost_usd)} without commitments{f'; used {used}' if used else ''}"
    )
