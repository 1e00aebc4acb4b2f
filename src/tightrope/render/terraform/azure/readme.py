"""``README.md`` beside the root module: what it makes, what to fill in, what to run, and what it does otherwise than the plan."""

from tightrope.base.plan import Plan
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.services import find_size
from tightrope.render import words
from tightrope.render.infra.deploy import Part, deploy, notice, on_cloud
from tightrope.render.infra.schedule import WEEK, at_most
from tightrope.render.markdown import page, said, table
from tightrope.render.terraform.azure.data import ENTRIES, FLEX_LEAST, usd_per_month

COMMANDS = """```console
$ terraform init
$ terraform test
$ terraform plan -out plan.tfplan
$ terraform apply plan.tfplan
```"""
FILL_IN = """Fill in `settings.auto.tfvars` first: it is yours, and a render leaves it alone. `plan.auto.tfvars.json` is the plan: a render writes
it anew, and an apply then changes only what the plan changed. Sign in with `az login` and set `ARM_SUBSCRIPTION_ID`. Encryption at host has
to be switched on once for a subscription: `az feature register --namespace Microsoft.Compute --name EncryptionAtHost`."""
HEADS = ("pool", "made of", "region", "paid", ">at least", ">in the week's largest hour", ">at most", ">$ a month")


def readme(plan: Plan) -> str:
    """Return the page."""
    here = on_cloud(plan, "azure")
    return page(
        f"# {said(plan.workload)} on Azure",
        "\n".join(f"> {said(line)}" for line in notice(plan)),
        table(HEADS, [_row(part) for part in deploy(here)]),
        f"With what stands around the pools, in proportion, this is {words.usd(usd_per_month(plan))} a month: the budget is that and `margin`.",
        "## Use it",
        FILL_IN,
        COMMANDS,
        "## What it does otherwise than the plan",
        "\n".join(f"- {line}" for line in _otherwise(plan, here)),
        "## Where things are",
        WHERE,
    )


WHERE = """- `machines.tf`, `scaling.tf`, `network.tf`: scale sets, the week's calendar, the load balancer (`run_on = "vm"`).
- `kubernetes.tf`: AKS and its node pools (`run_on = "kubernetes"`).
- `containers.tf`, `functions.tf`: Container Instances and Functions, where the plan has them.
- `budget.tf`, `alerts.tf`: budget, cost anomalies, alerts, logs.
- `commitments.md`: reservations and savings plans, to be bought by hand.
- `tests/caps.tftest.hcl`: asserts the plan's caps; `terraform test` runs it and creates nothing."""


def _row(part: Part) -> tuple[str, ...]:
    """Return one pool's cells."""
    pool = part.pool
    return (
        f"`{part.key}`",
        said(pool.machine),
        said(pool.region),
        said(pool.offer),
        str(min(part.week)),
        str(max(part.week)),
        str(pool.max_replicas),
        f"{part.usd_per_month:,.2f}",
    )


def _otherwise(plan: Plan, here: Plan) -> list[str]:
    """Return what is not as the plan has it, and what that costs."""
    machines = deploy(here, "machines")
    return [
        *(line for part in machines if (line := _coarsened(part))),
        *(_always_on(part) for part in deploy(here, "container")),
        *(_function(part) for part in deploy(here, "function")),
        *_scaling(machines),
        *_stand_ins(plan, machines),
        "A new AKS cluster has two machines of its own (`system_machine`), which the plan does not pay for; name a cluster that is there in "
        "`kubernetes_cluster_ids` to spare them. Its node pools have no calendar: the target `kubernetes` brings it, and nodes follow pods.",
        "On the day of `expires_on` scale sets go to zero by themselves; what else stands, `az resource list --tag expires-on` lists. Logs and "
        "alerts are not in the plan's cost.",
    ]


def _coarsened(part: Part) -> str:
    """Return what a week with fewer steps adds; nothing where it has few enough."""
    more = sum(at_most(part.week, ENTRIES)) - sum(part.week)
    if not more:
        return ""
    usd = more * part.node.usd_per_hour * HOURS_PER_MONTH / WEEK
    return (
        f"`{part.key}`: the plan's week has {len(part.entries())} steps and Azure takes {ENTRIES}. It was coarsened, never to fewer machines: "
        f"{more} machine-hours a week more, which is at most {words.usd(usd, 2)} a month."
    )


def _always_on(part: Part) -> str:
    """Return what Container Instances do not do, and what that costs."""
    more = max(part.week) * WEEK - sum(part.week)
    usd = more * part.node.usd_per_hour * HOURS_PER_MONTH / WEEK
    cost = f"{words.usd(usd, 2)} a month more than planned" if more else "as the plan's schedule has it"
    return (
        f"`{part.key}`: Container Instances neither scale nor follow a calendar. {words.count(max(part.week), 'replica')} run all week, {cost}; "
        f"the plan was proven with an autoscaler that goes up to {part.pool.max_replicas}: `container_counts` lets more run."
    )


def _function(part: Part) -> str:
    """Return how a function is billed, and capped, otherwise."""
    size = find_size(part.pool.machine)
    memory = f"{size.memory_mib} MB" if size else words.UNKNOWN
    return (
        f"`{part.key}`: the plan pays for the memory that a function uses ({memory}), Flex Consumption for the instance's: the difference is "
        f"not in the plan. Azure caps an app at {FLEX_LEAST} instances or more, the plan at {part.pool.max_replicas}."
    )


def _scaling(machines: tuple[Part, ...]) -> list[str]:
    """Return what scale sets follow beside the calendar."""
    if not machines:
        return []
    return [
        "Azure Monitor has no request rate of a load balancer. Where `metrics` names the gateway's own (`tightrope_utilisation_ratio`, written "
        "there by Telegraf or an agent that reads Prometheus), scale sets follow it, as the plan was proven; else pools without accelerators "
        "follow their CPU (`cpu_percent`), which is no figure of the plan, and the others their calendar alone.",
        "Scale sets are of one machine type each: a spot machine that is not to be had is not replaced by another type.",
    ]


def _stand_ins(plan: Plan, machines: tuple[Part, ...]) -> list[str]:
    """Return which pools take the place of spot machines that are missing."""
    keys = {part.pool.name: part.key for part in deploy(plan)}
    return [
        f"`{part.key}` takes the place of spot machines that `{keys[part.pool.serving.backs]}` misses: by its load, not by a rule of its own."
        for part in machines
        if part.pool.serving.backs in keys
    ]
