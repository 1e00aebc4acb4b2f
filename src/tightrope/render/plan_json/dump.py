"""Plan → plan.json: keys in the record's order, numbers to 1e-9 (what a replay needs, exactly), equal plans give equal bytes."""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.plain import Json, as_text, plain


class PlanJson:
    """Writes ``plan.json``."""

    name = "plan-json"
    next_command = "tightrope replay {out}/plan.json --trace FILE"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file; raise ``InputError`` naming the field where a figure is not a number."""
        return {Path("plan.json"): as_text(plan_as_dict(plan)) + "\n"}


RENDERER = PlanJson()


def plan_as_dict(plan: Plan) -> dict[str, Json]:
    """Return the plan as plain JSON values, ``schema_version`` first, floats rounded to 9 decimals but where they are exact."""
    found = plain(plan)
    assert isinstance(found, dict)  # noqa: S101 - a record is an object
    return found
