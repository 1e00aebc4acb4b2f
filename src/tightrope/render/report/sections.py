"""Sections of the report: each function takes the plan and returns markup, empty if the plan has no data for it."""

from collections.abc import Iterable

from tightrope.base.plan import Plan, Pool
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.render import explanation_formats, formats, plan_warnings
from tightrope.render.html import Html, join, listing, table, tag
from tightrope.render.page_elements import NOTHING, details, evidence, figure, section, share
from tightrope.render.report import charts

MOST_POOLS_NAMED = 6
"""Pools that the headline names; the section on pools lists all."""


def headline(plan: Plan) -> Html:
    """Return the answer: the fleet, its cost per month, the saving, and the evidence."""
    good = plan.status == "proven"
    badge = tag("span", "✓ proven by replay" if good else "✗ not proven", class_="badge good" if good else "badge bad")
    figures = [_amount("This plan", plan.monthly_cost_usd, "big plan")]
    if formats.has_today(plan):
        change = tag(
            "div",
            tag("strong", formats.change(plan)),
            _yearly(plan),
            class_=f"change {'less' if plan.saving_fraction > 0 else 'more'}",
        )
        arrow = tag("span", "→", class_="arrow", aria_hidden="true")
        figures = [_amount("Today", plan.today_monthly_cost_usd, "big"), arrow, *figures, change]
    top = tag("p", badge, " ", plan.horizon, class_="quiet")
    return tag(
        "header",
        top,
        tag("h1", _sentence(plan)),
        tag("div", *figures, class_="figures"),
        tag("p", tag("strong", "Fleet"), " ", _fleet(plan), class_="fleet"),
        tag("dl", *_facts(plan), class_="facts"),
    )


def _amount(name: str, usd: float, class_: str) -> Html:
    """Return one large amount a month."""
    label, amount = tag("span", f"{name}, a month", class_="label"), tag("span", formats.usd(usd), class_="amount")
    return tag("div", label, amount, class_=class_)


def _fleet(plan: Plan) -> str:
    """Return the pools as replicas × machine and offer, such as ``0–6 × g4dn.xlarge spot``."""
    pools = [
        f"{pool.machine} by request" if pool.serving.metered else f"{formats.replicas(pool)} × {pool.machine} {pool.offer}"
        for pool in plan.pools[:MOST_POOLS_NAMED]
    ]
    rest = len(plan.pools) - len(pools)
    return " · ".join([*pools, *([formats.count(rest, "more pool")] if rest else [])]) or "no pool"


def _sentence(plan: Plan) -> str:
    """Return the answer as a sentence."""
    cost = f"Serve {plan.workload} for {formats.usd(plan.monthly_cost_usd)} a month"
    if not formats.has_today(plan):
        return cost
    return f"{cost} instead of {formats.usd(plan.today_monthly_cost_usd)}"


def _yearly(plan: Plan) -> Html:
    """Return the difference over a year."""
    yearly = 12 * (plan.today_monthly_cost_usd - plan.monthly_cost_usd)
    return tag("span", f"{formats.usd(abs(yearly))} a year {'less' if yearly >= 0 else 'more'}", class_="label")


def _facts(plan: Plan) -> Iterable[Html]:
    """Yield the replayed cost, the promises kept, the lower bound, and the error bands."""
    good, of = formats.count_kept(plan.evidence)
    ran = formats.usd(plan.replay_monthly_cost_usd)
    facts = [
        *([(f"{ran} a month", "as it ran in the replay")] if plan.replay_monthly_cost_usd > 0 else []),
        (f"{good} of {of} proven" if of else "none replayed", "promises"),
        (formats.usd(plan.lower_bound_monthly_usd), f"lower bound; gap {formats.percent(plan.gap_fraction)}"),
    ]
    good, of = formats.count_kept(plan.today_evidence)
    facts += [(f"{good} of {of} kept", "by today's fleet")] if of else []
    if plan.cost_range is not None:
        facts.append((explanation_formats.cost_range(plan.cost_range), "within the error bands"))
    for amount, meaning in facts:
        yield tag("div", tag("dt", meaning), tag("dd", amount))


def missed(plan: Plan) -> Html:
    """Return which promises are not proven."""
    if plan.status == "proven":
        return NOTHING
    return tag("div", tag("h2", "Not proven"), tag("p", formats.missed_promises(plan)), class_="alert bad", role="alert")


def warnings(plan: Plan) -> Html:
    """Return the most costly warnings, grouped by kind; every other warning is folded."""
    if not plan.warnings:
        return NOTHING
    shown = plan_warnings.group_warnings(plan)[: plan_warnings.MOST_LINES]
    rest = [text for text in (*plan_warnings.rank_warnings(plan), *plan_warnings.unplanned_options(plan)) if text not in shown]
    parts = [listing(shown)] if shown else []
    parts += [details(f"{formats.count(rest, 'more warning')}, in full", listing(rest))] if rest else []
    return tag("div", tag("h2", "Watch out"), *parts, class_="alert")


def bill(plan: Plan) -> Html:
    """Return the bill by cost driver, today beside the plan, and the plan's bill line by line."""
    today = formats.has_today(plan)
    rows = [*formats.by_driver(plan), ("total", plan.today_monthly_cost_usd, plan.monthly_cost_usd)]
    cells = [(driver, formats.usd(now), formats.usd(planned), formats.signed_usd(planned - now)) for driver, now, planned in rows]
    sums = table("Dollars a month", ("driver", ">today", ">this plan", ">change"), cells, class_="total")
    if not today:
        sums = table("Dollars a month", ("driver", ">this plan"), [(row[0], row[2]) for row in cells], class_="total")
    lines = [(line.driver, line.pool or "all pools", line.offer or "—", formats.usd(line.usd)) for line in plan.cost_lines]
    detail = table("The plan's bill, line by line, dollars a month", ("driver", "pool", "offer", ">amount"), lines)
    note = "A month has 730 hours. Idle is machine time that is paid for and serves nothing."
    return section(
        "The bill by cost driver",
        tag("div", figure(charts.bill(plan)), sums, class_="pair"),
        details("Every line of the plan's bill", tag("p", note, class_="quiet"), detail),
    )


SETTINGS = {
    "max_batch": ("largest batch", "{:g}"),
    "max_sequences": ("sequences at once", "{:g}"),
    "chunk_tokens": ("tokens a step", "{:g}"),
    "target_requests_per_s": ("requests/s per machine", "{:.3g}"),
    "start_s": ("ready after", "{:.0f} s"),
    "cold_start_s": ("cold start", "{:.3g} s"),
    "keep_alive_s": ("idle instance stays", "{:g} s"),
    "most_at_once": ("most requests at once", "{:g}"),
    "ttft_s": ("first token, as stated", "{:.3g} s"),
    "tpot_s": ("per token, as stated", "{:.3g} s"),
}
"""Label and number format of a pool's setting; any other setting shows its own name."""
HIDDEN_SETTINGS = {"downscale_stabilization_s", "kv_capacity_tokens", "target_utilisation"}
"""Settings of plan.json that the report leaves out."""


def pools(plan: Plan) -> Html:
    """Return a table of the pools, then a definition list of each pool's settings."""
    heads = ("pool", "machine", "region", "variant", "offer", ">replicas", "when")
    body = table("Pools of identical machines", heads, map(_pool, plan.pools), class_="stack steady")
    settings = [join((tag("h3", f"Settings of {pool.name}"), terms)) for pool in plan.pools if (terms := _settings(pool))]
    return section("What runs", *([body, *settings] if plan.pools else [tag("p", "Nothing: the plan has no pool.")]))


def _pool(pool: Pool) -> tuple[str, ...]:
    """Return a pool's cells."""
    zones = f"{pool.region}, {formats.count(range(pool.zones), 'zone')}" if pool.zones else pool.region
    machine = pool.machine if pool.machine.startswith(f"{pool.cloud}/") else f"{pool.cloud} {pool.machine}"
    return (
        pool.name,
        machine,
        zones,
        pool.variant,
        pool.offer,
        formats.replicas(pool),
        formats.active_hours(pool),
    )


def _settings(pool: Pool) -> Html:
    """Return a pool's settings as terms and values; empty if it has none."""
    terms = []
    for name, value in sorted((pool.batching | pool.autoscaling).items()):
        if name not in HIDDEN_SETTINGS:
            label, form = SETTINGS.get(name, (name.replace("_", " "), "{:g}"))
            terms.append(tag("div", tag("dt", label), tag("dd", form.format(value))))
    return tag("dl", *terms, class_="settings") if terms else NOTHING


def week(plan: Plan) -> Html:
    """Return demand under planned capacity, and the machines, for every block of the week."""
    demand, machines = figure(charts.capacity(plan)), figure(charts.machines(plan))
    parts = [tag("h3", "Requests a second: demand, and what the pools sustain within the promises"), demand] if demand else []
    parts += [tag("h3", "Machines"), machines] if machines else []
    return section("The week", *parts, note="Hour by hour; day 1 is the first day of the trace.") if parts else NOTHING


def routing(plan: Plan) -> Html:
    """Return who answers what."""
    rows = []
    for rule in plan.routing:
        blocks = rule.share_by_block or (rule.share,)
        span = f"{formats.percent(min(blocks), 0)} – {formats.percent(max(blocks), 0)}"
        rows.append((rule.traffic_class, rule.pool, share(rule.share), "steady" if min(blocks) == max(blocks) else span))
    body = table(
        "Share of each traffic class that a pool answers",
        ("class", "pool", "share of the week", "over the hours"),
        rows,
        class_="stack",
    )
    return section("Who answers what", body) if rows else NOTHING


def commitments(plan: Plan) -> Html:
    """Return what is promised to the seller, how much of it is used, from where it pays, and what it means in every future."""
    rows = [
        (
            item.offer,
            item.scope or "everything",
            f"{item.term_years} year{'' if item.term_years == 1 else 's'}, {item.payment}"
            + (", made already" if item.existing else ""),
            formats.usd(item.usd_per_hour, 3),
            formats.usd(item.usd_per_hour * HOURS_PER_MONTH),
            "—" if item.existing else formats.usd(item.upfront_usd),
            share(item.utilisation),
            "—" if item.break_even is None else formats.percent(item.break_even),
        )
        for item in plan.commitments
    ]
    heads = ("offer", "scope", "term", ">dollars an hour", ">a month", ">upfront", "used", ">pays from")
    body = [table("Commitments", heads, rows, class_="stack")] if rows else []
    note = "A commitment is paid whether it is used or not; it pays from that use of the machines that it covers."
    return section("Commitments", *body, *_futures(plan), note=note) if rows or plan.futures else NOTHING


def _futures(plan: Plan) -> Iterable[Html]:
    """Yield the table of the futures that the commitments are sized on."""
    if not plan.futures:
        return
    rows = [
        (
            item.name,
            formats.percent(item.weight, 0),
            formats.usd(item.monthly_cost_usd),
            formats.usd(item.uncommitted_monthly_cost_usd),
            ", ".join(formats.percent(used, 0) for used in item.utilisation) or "—",
        )
        for item in plan.futures
    ]
    yield tag("h3", "Sized on these futures")
    heads = ("future", ">weight", ">costs", ">without them", ">of each used")
    yield table("The machines on demand in each future, dollars a month", heads, rows, class_="stack")


def promises(plan: Plan) -> Html:
    """Return the evidence of every promise by the plan, and by today's fleet."""
    if not plan.evidence:
        return section("The promises", tag("p", "No promise was replayed: nothing here is proven."))
    basis = formats.replay_basis(plan)
    note = (
        f"{basis[0].upper()}{basis[1:]}. Bar: confidence interval; tick: promised share. Proven: all of the bar reaches the tick."
    )
    parts = [evidence("The plan, replayed on traffic it was not sized on", plan.evidence, "proven", "not proven")]
    if plan.today_evidence:
        good, of = formats.count_kept(plan.today_evidence)
        today = evidence("Today's fleet on the same traffic", plan.today_evidence, "kept", "broken")
        parts.append(details(f"Today's fleet on the same traffic: {good} of {of} kept", today))
    return section("The promises", *parts, note=note)


def grounds(plan: Plan) -> Html:
    """Return what the plan rests on: profiles with their error bands, prices with their dates."""
    rows = [
        (use.profile, formats.KINDS.get(use.kind, use.kind), f"±{formats.percent(use.error_band, 0)}", use.source)
        for use in plan.provenance
    ]
    body = table("Performance profiles", ("profile", "known by", ">error band", "source"), rows, class_="stack")
    head = f"Prices, as known on {plan.prices_as_of}" if plan.prices_as_of else "Prices"
    prices = [tag("h3", head), listing(plan.price_sources)] if plan.price_sources else []
    return section("What it rests on", *([body] if rows else []), *prices) if rows or prices else NOTHING


def refusals(plan: Plan) -> Html:
    """Return every candidate that was refused, with the reason."""
    if not plan.refusals:
        return NOTHING
    rows = [(item.what, item.reason) for item in plan.refusals]
    body = table("Refused candidates", ("candidate", "reason"), rows)
    return section("What was refused", details(f"{formats.count(rows, 'candidate')} that could not be used, and why", body))
