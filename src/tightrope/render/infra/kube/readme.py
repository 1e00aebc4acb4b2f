"""``README.md`` of a rendered tree: what there is, what to fill in, which commands come next, and what is not done here."""

from collections.abc import Sequence

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, max_pool_replicas, node_label, notice
from tightrope.render.infra.kube import autoscalers, containers, kustomization, nodes
from tightrope.render.infra.kube.clusters import Cluster
from tightrope.render.markdown import escape_text, page, table

ELSEWHERE = {
    "function": "a function: `--target terraform`",
    "container": "containers as a service: `--target terraform`",
    "api": "a provider's model: nothing to deploy",
}

YOURS = "namespace, cost labels and images in `kustomization.yaml`, what only you know in `settings.yaml`. Never written over."


def readme(plan: Plan, found: Sequence[Cluster], title: str, remarks: Sequence[str]) -> str:
    """Return the page; it says so where the plan has no machines."""
    quoted = "\n".join(f"> {line}" for line in notice(plan))
    if not found:
        nothing = "There is nothing to write: no pool of the plan runs on machines."
        return page(f"# {escape_text(plan.workload)} {title}", quoted, nothing, _elsewhere(plan))
    rows = [_row(plan, place, part) for place in found for part in place.parts]
    heads = ("folder", "pool", "machine", "offer", ">replicas a machine", ">least", ">most", "answers")
    return page(
        f"# {escape_text(plan.workload)} {title}",
        quoted,
        table(heads, rows),
        " ".join(["*least* and *most* are replicas.", *remarks]),
        "## What is yours",
        "\n".join(f"- `{place.folder}/overlay/`: {YOURS}" for place in found),
        "## Apply",
        *(_apply(plan, place) for place in found),
        _beside(plan, found),
        _hpa(plan, found),
        _limits(plan, found),
        _elsewhere(plan),
    )


def _row(plan: Plan, place: Cluster, part: DeployedPool) -> list[str]:
    """Return a pool's row."""
    many = part.replicas_per_machine
    return [
        f"`{place.folder}`",
        f"`{part.key}`",
        escape_text(part.pool.machine),
        escape_text(part.pool.offer),
        str(many),
        str(min(part.week) * many),
        str(max_pool_replicas(plan, part)),
        escape_text(", ".join(part.classes)) or "nothing of its own",
    ]


def _apply(plan: Plan, place: Cluster) -> str:
    """Return the commands for one place."""
    keys = " ".join(f"--from-file={part.key}=KEY_FILE" for part in kustomization.remote_pools(plan, place) if part.kind == "api")
    secret = f"kubectl -n tightrope create secret generic tightrope-api-keys {keys}"
    overlay = f"{place.folder}/overlay"
    lines = [
        f"# with the context of the cluster in {place.folder}",
        f"kubectl kustomize {overlay}",
        f"kubectl apply -f {overlay}/namespace.yaml",
        *([secret] if keys else []),
        f"kubectl diff --server-side --force-conflicts -k {overlay}",
        f"kubectl apply --server-side --force-conflicts -k {overlay}",
    ]
    return "\n".join(["```console", *lines, "```"])


def _beside(plan: Plan, found: Sequence[Cluster]) -> str:
    """Return the components of the gateway, and the secrets that they need."""
    waits = any(kustomization.batch_jobs(plan, place) for place in found)
    batch = ' --from-literal=batch="$(cat KEY_FILE)"' if waits else ""
    lines = [
        "`ledger`: one volume for the ledgers of all gateways, so that budgets and the month's cost are of all. Without it each gateway",
        "  has its own, which goes with its pod. `ledger-class` of `settings.yaml` names the storage class.",
        "`keys`: only who has a key may ask. Make the file with `tightrope keys create --file keys.json --tenant NAME`, then the secret:",
        f"  `kubectl -n tightrope create secret generic tightrope-keys --from-file=keys.json{batch}`.",
        "`jobs`: deferrable work, from one queue in PostgreSQL"
        + (", which this plan's work needs." if waits else ".")
        + " Its address is a secret:",
        '  `kubectl -n tightrope create secret generic tightrope-jobs --from-literal=url="$(cat URL_FILE)"`.',
    ]
    text = "\n".join(line if line.startswith(" ") else f"- {line}" for line in lines)
    return page(
        "## What a gateway may have beside",
        "Components, which `overlay/kustomization.yaml` names or leaves out.",
        text,
        "Tenants with their budgets, and limits, are the entry `serve.yaml` of `overlay/settings.yaml`, once `serve` there names it.",
    )


def _hpa(plan: Plan, found: Sequence[Cluster]) -> str:
    """Return what the component without KEDA needs, and what it cannot do."""
    parts = [part for place in found for part in place.parts]
    left = [f"`{part.key}`" for part in parts if not autoscalers.fits_hpa(part)]
    zero = [f"`{part.key}`" for part in parts if min(part.week) == 0 and autoscalers.fits_hpa(part)]
    return page(
        "## Without KEDA",
        "Name `autoscale-hpa` in the overlay in place of `autoscale-keda`, never beside it. Jobs follow the calendar then.",
        f"It keeps a machine of {', '.join(zero)} at all hours, where KEDA goes to none: that costs more than planned."
        if zero
        else "",
        f"It leaves out {', '.join(left)}, which only KEDA can scale." if left else "",
        "It needs prometheus-adapter, with these values of its Helm chart:",
        f"```yaml\n{autoscalers.adapter_rules(plan)}```",
    )


def _limits(plan: Plan, found: Sequence[Cluster]) -> str:
    """Return what the cluster needs beside the files."""
    label = node_label(plan, "POOL")
    parts = [part for place in found for part in place.parts]
    chips = sorted({name for part in parts for name in containers.accelerators(part)})
    shared = [f"`{part.key}`" for part in parts if containers.shares_chips(part)]
    making = [place for place in found if place.cloud in nodes.NODES]
    without = [place for place in found if place.cloud not in nodes.NODES]
    lines = [
        "Kubernetes 1.30 or newer; for another tolerance than 0.1 its feature HPAConfigurableTolerance, off until 1.35.",
        "KEDA and the Prometheus Operator, with its Prometheus in the namespace `monitoring`; or edit the overlay.",
        "Room for the gateway on nodes that are not of the plan: the plan does not count them.",
        *(f"The device plugin of `{name}`." for name in chips),
        *([f"Time-slicing of the chips of {', '.join(shared)}, so that each replica counts one."] if shared else []),
        f'Nodes with the label `tightrope.dev/pool={label}`: `--target terraform` makes them with `run_on = "kubernetes"`.',
        *(f"In `{place.folder}`: or the component `{nodes.NODES[place.cloud]}`, named in the overlay." for place in making),
        *(f"In `{place.folder}`: nothing here makes nodes, label your own." for place in without),
    ]
    return page("## What the cluster needs", "\n".join(f"- {line}" for line in lines))


def _elsewhere(plan: Plan) -> str:
    """Return the pools that stand outside clusters."""
    rows = [
        [escape_text(part.pool.name), escape_text(part.pool.cloud), escape_text(part.pool.machine), ELSEWHERE[part.kind]]
        for part in deploy_pools(plan, "function", "container", "api")
    ]
    if not rows:
        return ""
    return page(
        "## What does not run on a cluster",
        table(("pool", "cloud", "machine", "where"), rows),
        "The gateway finds them by `url-POOL` in `settings.yaml`; a key that they ask for is the entry `POOL` of the secret "
        "`tightrope-api-keys`, which you make.",
    )
