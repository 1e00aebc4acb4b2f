"""What Azure's targets say of a plan: its pools, and what is otherwise there than the plan has it, with what that costs."""

from tightrope.base.plan import Plan
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.service_sizes import find_size
from tightrope.render import formats
from tightrope.render.infra.azure.values import ENTRIES, FLEX_LEAST
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, select_cloud
from tightrope.render.infra.schedule import WEEK, limit_entries


def list_deviations(plan: Plan) -> list[str]:
    """Return what is not as the plan has it, and what that costs."""
    here = select_cloud(plan, "azure")
    found = [
        *(_coarsened(part) for part in deploy_pools(here, "machines")),
        *(_always_on(part) for part in deploy_pools(here, "container")),
        *(_function(part) for part in deploy_pools(here, "function")),
        *(_stand_in(plan, part) for part in deploy_pools(here, "machines")),
    ]
    return [line for line in found if line]


def _coarsened(part: DeployedPool) -> str:
    """Return what a week with fewer steps adds; nothing where it has few enough."""
    more = sum(limit_entries(part.week, ENTRIES)) - sum(part.week)
    if not more:
        return ""
    return (
        f"`{part.key}`: the plan's week has {len(part.entries())} steps and Azure takes {ENTRIES}. It was coarsened, never to fewer "
        f"machines: {more} machine-hours a week more, which is at most {_usd(part, more)} a month."
    )


def _always_on(part: DeployedPool) -> str:
    """Return what Container Instances do not do, and what that costs."""
    more = max(part.week) * WEEK - sum(part.week)
    cost = f"{_usd(part, more)} a month more than planned" if more else "as the plan's schedule has it"
    return (
        f"`{part.key}`: Container Instances do not scale. {formats.count(max(part.week), 'replica')} all week, {cost}; "
        f"the plan was proven with an autoscaler that goes up to {part.pool.max_replicas}."
    )


def _function(part: DeployedPool) -> str:
    """Return how a function is billed, and capped, otherwise."""
    size = find_size(part.pool.machine)
    memory = f"{size.memory_mib} MB" if size else formats.UNKNOWN
    return (
        f"`{part.key}`: the plan pays for the memory that a function uses ({memory}), Flex Consumption for the instance's: the difference "
        f"is not in the plan. Azure caps an app at {FLEX_LEAST} instances or more, the plan at {part.pool.max_replicas}."
    )


def _stand_in(plan: Plan, part: DeployedPool) -> str:
    """Return for which pool it takes the place of spot machines that are missing; nothing where for none."""
    missing = next((other.key for other in deploy_pools(plan) if other.pool.name == part.pool.serving.backs), "")
    return (
        f"`{part.key}` takes the place of spot machines that `{missing}` misses, by its load and no rule of its own."
        if missing
        else ""
    )


def _usd(part: DeployedPool, machine_hours_per_week: int) -> str:
    """Return what so many machine-hours a week cost in a month."""
    return formats.usd(machine_hours_per_week * part.node.usd_per_hour * HOURS_PER_MONTH / WEEK, 2)
