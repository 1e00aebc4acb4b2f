"""``README.md`` beside the root module: what it makes, what to fill in, what to run, and what it does otherwise than the plan."""

from tightrope.base.plan import Plan
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.render import formats
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, usd_on_cloud
from tightrope.render.infra.readme import HEADS, pool_row, quote_notice
from tightrope.render.infra.schedule import WEEK, limit_entries
from tightrope.render.markdown import escape_text, page, table
from tightrope.render.terraform.aws.values import MOST_ENTRIES, MOST_TARGETS, excluded_routes

COMMANDS = """```console
$ terraform init
$ terraform test
$ terraform plan -out plan.tfplan
$ terraform apply plan.tfplan
```"""
FILL_IN = """Fill in `settings.auto.tfvars` first: it is yours, and a render leaves it alone. `plan.auto.tfvars.json` is the plan: a
render writes it anew, and an apply then changes only what the plan changed. Sign in as you always do (`aws sso login`); no file holds a
key."""
WHERE = {
    "machines": """- `machines.tf`, `alarms.tf`: launch templates, Auto Scaling groups, calendar, scaling, alarms (`run_on = "vm"`).
- `balancer.tf`: the balancer of a region, who may ask it, and which pool answers what.
- `kubernetes.tf`: EKS and its node groups (`run_on = "kubernetes"`).""",
    "container": "- `containers.tf`: Fargate services, their calendar and scaling.",
    "function": "- `functions.tf`: Lambda functions.",
}
ALWAYS = """- `main.tf`, `spending.tf`: tags, rights, logs; budget, cost anomalies, whom to notify.
- `commitments.md`: Savings Plans and reservations, to be bought by hand.
- `tests/`: asserts the plan's caps; `terraform test` runs them and creates nothing."""
MACHINES = """- An apply gives a group the floor that the calendar has by then, so that a new plan holds at once; a node group has it from
  its calendar's next entry on, and takes no most below the nodes that it has.
- Amazon takes one scheduled action of a group at a time: where an apply ends with `AlreadyExists`, apply again (`-parallelism=1`).
- `x-tightrope-class` shares a class as over the whole week, also to a pool that has no machine just then: name the pool, as the gateway
  does.
- The autoscaler adds what the balancer counts: requests a machine and minute, kept at the plan's figure. Where `gateway_namespace` names
  the gateway's own metrics (an agent publishes them to CloudWatch, with the dimensions `pool` alone, and `class`, `slo` and `kept`), those
  are taken instead, promises are watched, and a pool without machines starts one for a request that waits; without it, such a pool has
  machines by its calendar alone.
- Amazon's target tracking adds machines when three minutes were over the figure and takes them away after fifteen below it (EC2 Auto
  Scaling user guide, 2026): slower, both ways, than the autoscaler that the plan was replayed with, which is Kubernetes'. Promises that
  hang on a surge within minutes are proven for `run_on = "kubernetes"`.
- With `run_on = "kubernetes"` the calendar raises the least nodes, and only Kubernetes' Cluster Autoscaler adds more and takes away those
  that are empty: install it, or nodes stay that the plan does not pay for. Pods are the target `kubernetes`. A new cluster has
  machines of its own (`system_nodes`) that the plan does not pay for; name a cluster that is there in `cluster_names` to spare them.
  A node group takes one node more than the plan's most, for the pod that a rolling update adds, and for no load: pods keep to the most.
- A machine that goes drains for `drain_seconds` and is paid for meanwhile; so is the one that takes a spot machine's place before that
  goes, for which Amazon may exceed a group's most by a tenth. Spot notices are told of by region, with the machine's id."""
ALWAYS_SO = """- On the day of `expires_on` calendars end, and one last scheduled action takes every group and service to zero: nothing
  else has to run for it. Functions cost nothing when nobody asks. The tag `expires-on` finds what stands; `terraform destroy` removes it.
- Budgets and cost anomalies see what has the tag `workload` once that tag is active for cost allocation: `activate_cost_tags` in the
  management account, or by hand there.
- Not in the plan's cost: a key a region ($1 a month, AWS KMS pricing, 2026), alarms and logs. A Kubernetes control
  plane is in it where the workload asks for one; `run_on = "vm"` needs none."""


def readme(plan: Plan, parts: tuple[DeployedPool, ...]) -> str:
    """Return the page."""
    kinds = dict.fromkeys(part.kind for part in parts)
    cost = formats.usd(usd_on_cloud(plan, "aws"))
    nothing = "There is nothing to write: the plan's pools on AWS are no machines of Amazon's."
    return page(
        f"# {escape_text(plan.workload)} on AWS",
        quote_notice(plan),
        table(HEADS, [pool_row(plan, part) for part in parts]) if parts else nothing,
        f"With what stands around the pools, in proportion, this is {cost} a month: the budget is that and `margin`.",
        *(("## Use it", FILL_IN, COMMANDS) if parts else ()),
        "## What it does otherwise than the plan",
        "\n".join(_otherwise(plan, parts)),
        *(("## Where things are", "\n".join([*(WHERE[kind] for kind in WHERE if kind in kinds), ALWAYS])) if parts else ()),
    )


def _otherwise(plan: Plan, parts: tuple[DeployedPool, ...]) -> list[str]:
    """Return what is not as the plan has it, and what that costs, an item each."""
    written = {part.key for part in parts}
    left = [part for part in deploy_pools(plan) if part.pool.cloud == "aws" and part.key not in written]
    own = [
        *(_unwritten(part) for part in left),
        *(line for part in parts if (line := _coarsened(part))),
        *_stand_ins(plan, parts),
        *(_function(part) for part in parts if part.kind == "function"),
        *(_crowded(pool, name) for pool, name in excluded_routes(plan, parts)),
    ]
    machines = [MACHINES] if any(part.kind == "machines" for part in parts) else []
    return [*(f"- {line}" for line in own), *machines, *([ALWAYS_SO] if parts else [])]


def _unwritten(part: DeployedPool) -> str:
    """Return that a pool is nothing that Terraform makes."""
    what = f"{escape_text(part.pool.machine)} under {escape_text(part.pool.offer)}"
    return f"`{part.key}` is not written: Terraform cannot create {what}."


def _coarsened(part: DeployedPool) -> str:
    """Return what a week with fewer steps adds; nothing where it has few enough."""
    if part.kind == "function" or not (more := sum(limit_entries(part.week, MOST_ENTRIES)) - sum(part.week)):
        return ""
    usd = more * part.node.usd_per_hour * HOURS_PER_MONTH / WEEK
    return (
        f"`{part.key}`: the plan's week has {len(part.entries())} steps, a group takes {MOST_ENTRIES} here. It was coarsened, never to "
        f"fewer machines: {more} machine-hours a week more, which is at most {formats.usd(usd, 2)} a month."
    )


def _stand_ins(plan: Plan, parts: tuple[DeployedPool, ...]) -> list[str]:
    """Return which pools take the place of spot machines that are missing."""
    keys = {part.pool.name: part.key for part in deploy_pools(plan)}
    pairs = [(part.key, keys[part.pool.serving.backs]) for part in parts if part.pool.serving.backs in keys]
    return [
        f"`{key}` takes the place of spot machines that `{backed}` misses: by its load, not by its own rule."
        for key, backed in pairs
    ]


def _function(part: DeployedPool) -> str:
    """Return how many requests a function may answer at one time."""
    return (
        f"`{part.key}` may answer {part.pool.max_replicas} requests at one time, kept for it alone, or what `function_quota` leaves after "
        "the 100 that Amazon keeps free: state your account's quota there. Its image lies in ECR, in the function's region."
    )


def _crowded(pool: str, name: str) -> str:
    """Return which pool a class does not reach by the class's name alone."""
    return (
        f"`{pool}` gets nothing of {escape_text(name)} by `x-tightrope-class`: a rule takes {MOST_TARGETS} groups, and others have larger "
        "shares. By `x-tightrope-pool` it is reached as any."
    )
