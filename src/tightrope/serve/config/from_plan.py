"""plan.json → ``Settings``: of a gateway before the pools of a place, or of one engine of a pool."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from tightrope.base.errors import InputError, Where, build_unknown_name_error
from tightrope.base.plan import Plan, Pool, ServedClass
from tightrope.base.records import RequestEngine, TokenEngine
from tightrope.serve.config.settings import (
    CacheSettings,
    FunctionPrice,
    Listen,
    LocalModel,
    ServedCascade,
    ServedModel,
    ServedPool,
    Settings,
    Upstream,
)
from tightrope.serve.records import Task

REQUESTS: tuple[Task, ...] = ("infer", "embed", "classify")
"""What may be asked of a model that answers requests."""
log = logging.getLogger(__name__)
AGAIN = 'write it as {"POOL": {"url": "http://…"}}, or have it rendered: `tightrope render plan.json --target kubernetes`'

TokenRates: TypeAlias = tuple[float, float]
FindTokenPrice: TypeAlias = Callable[[str, str, str], TokenRates]
"""(provider, model, offer) → US dollars for a million tokens in and out; raises ``InputError`` where the list has none."""
FindFunctionPrice: TypeAlias = Callable[[str, str], FunctionPrice | None]
"""(size of a function, region) → what it costs; None where that is not known."""


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """Where a gateway stands."""

    cloud: str
    region: str

    @classmethod
    def parse(cls, text: str, plan: Plan) -> "GatewayPlace":
        """Return the place written ``cloud/region``; raise ``InputError`` where the plan has nothing there."""
        known = sorted({f"{pool.cloud}/{pool.region}" for pool in plan.pools})
        if text not in known:
            raise build_unknown_name_error(text, kind="place of the plan", known=known)
        cloud, _, region = text.partition("/")
        return cls(cloud, region)


def gateway_settings(
    plan: Plan, place: GatewayPlace, upstreams: Path, find_token_price: FindTokenPrice, find_function_price: FindFunctionPrice
) -> Settings:
    """Return the settings of the gateway of a place, whose pools answer where ``upstreams.json`` says.

    Raises ``InputError`` where a pool that it routes to is not in that file, or what the file refers to is not there.
    """
    where = read_upstreams(upstreams)
    classes = tuple(item for item in plan.classes if item.place in {None, (place.cloud, place.region)})
    names = {item.name for item in classes}
    routed = {rule.pool for rule in plan.routing if rule.traffic_class in names}
    waiting = {pool.name for pool in plan.pools if names & {*pool.serving.deferrable_classes}}
    pools = tuple(pool for pool in plan.pools if pool.name in where)
    if missing := sorted((routed | waiting) - where.keys()):
        msg = f"the plan sends requests to the pool {missing[0]!r}, which has no entry"
        raise InputError(msg, resolve=AGAIN, where=Where(upstreams))
    egress, stays = _egress(plan, place, classes)
    served = tuple(
        replace(
            _pool(pool, _upstream(pool, where[pool.name], upstreams), find_token_price, find_function_price),
            usd_per_gb_egress=egress,
            stays=stays,
        )
        for pool in pools
    )
    cache = None if plan.cache is None else CacheSettings(entries=plan.cache.entries, ttl_s=plan.cache.ttl_s)
    return Settings(
        workload=plan.workload,
        pools=served,
        models=_models(plan, pools, classes),
        classes=classes,
        routing=tuple(rule for rule in plan.routing if rule.traffic_class in names),
        first_day=plan.first_day,
        class_names=_names(classes),
        listen=Listen(host="0.0.0.0"),  # noqa: S104 - a pod is reached at its own address; who may is said by the network policy
        cache=cache,
    )


def _egress(plan: Plan, place: GatewayPlace, classes: Sequence[ServedClass]) -> tuple[float, frozenset[str]]:
    """Return what a GB of answers costs that leaves for the internet there, US dollars, and the classes whose answers do not."""
    usd = plan.egress_usd_per_gb.get(f"{place.cloud}/{place.region}")
    sends = [item.name for item in classes if item.egress_bytes_per_request]
    if usd is None and sends:
        log.warning("the plan does not say what answers of %s cost on their way out: plan again; it is not charged", sends[0])
    return usd or 0.0, frozenset(item.name for item in classes if not item.egress_bytes_per_request)


def engine_settings(plan: Plan, name: str, model: Path) -> Settings:
    """Return the settings of one engine of a pool: the model in this process, batched as the plan says.

    ``model`` is the ONNX file, or a folder with ``model.onnx`` and what belongs to it: ``tokenizer.json`` where it reads texts, a
    ``head.npz`` or ``labels.json`` (a list of names) where it names a class. Raises ``InputError``.
    """
    pool, engine = engine_pool(plan, name)
    local, task = local_model(model)
    served = _pool(pool, None, _no_token_price, lambda *_: None)
    served = replace(
        served, local=local, max_batch=int(pool.batching.get("max_batch", engine.max_batch)), service_s=engine.service_s
    )
    classes = tuple(item for item in plan.classes if _answers(plan, pool, item))
    return Settings(
        workload=plan.workload,
        pools=(served,),
        models=(ServedModel(served.model, task, (served.name,)),),
        classes=classes or plan.classes,
        class_names=_names(classes),
        listen=Listen(host="0.0.0.0"),  # noqa: S104 - as above
        engine_only=True,
    )


def engine_pool(plan: Plan, name: str) -> tuple[Pool, RequestEngine]:
    """Return a pool whose model runs in engines of our own, and how these are planned; raise ``InputError``."""
    pool = next((pool for pool in plan.pools if pool.name == name), None)
    if pool is None:
        raise build_unknown_name_error(name, kind="pool", known=[pool.name for pool in plan.pools])
    engine = pool.serving.engine
    if not isinstance(engine, RequestEngine):
        msg = f"pool {name!r} answers with tokens: such models run in a server of their own, such as vLLM"
        raise InputError(msg, resolve="start that server, and name it in the gateway's upstreams.json")
    return pool, engine


def local_model(path: Path) -> tuple[LocalModel, Task]:
    """Return a model file with what lies beside it, and its task by that; raise ``InputError`` where there is none."""
    folder = path if path.is_dir() else path.parent
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        msg = "there is no such model file" if path == file else "there is no model.onnx in this folder"
        raise InputError(msg, resolve="give an ONNX file, or a folder with model.onnx", where=Where(path))
    tokenizer, head, labels = (folder / name for name in ("tokenizer.json", "head.npz", "labels.json"))
    if not tokenizer.is_file():
        return LocalModel(file), "infer"
    names = tuple(str(name) for name in _json(labels, list)) if labels.is_file() else ()
    local = LocalModel(file, tokenizer=tokenizer, head=head if head.is_file() else None, labels=names)
    return local, "classify" if names or local.head else "embed"


# ------------------------------------------------------------------------------------------------------------------ upstreams


def read_upstreams(path: Path) -> dict[str, dict[str, Any]]:
    """Return ``upstreams.json``: pool → where it answers; raise ``InputError``."""
    found = _json(path, dict)
    for name, entry in found.items():
        if not isinstance(entry, dict) or ("url" in entry) == ("url_from" in entry):
            msg = f"{name!r}: expected a mapping with one of `url` and `url_from`, got {json.dumps(entry)[:60]}"
            raise InputError(msg, resolve=AGAIN, where=Where(path))
    return found


def _upstream(pool: Pool, entry: Mapping[str, Any], path: Path) -> Upstream:
    """Return where a pool answers; what the user's settings say is read from their files."""
    text = entry.get("url") or _line(Path(entry["url_from"]), pool.name)
    urls = str(text).split()
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        msg = f"{pool.name!r} is at {text!r}, expected a URL such as http://10.0.0.4:8000, or several with a space between"
        raise InputError(msg, resolve="correct it in the settings of the overlay", where=Where(path))
    key = Path(entry["key_from"]) if "key_from" in entry else None
    tokens = _writes(pool)
    model = _at_provider(pool) if pool.serving.answer_s is not None else pool.model
    return Upstream(
        api="openai" if tokens else "oip",
        replicas=tuple(url.rstrip("/") for url in urls),
        discover=bool(entry.get("discover", False)),
        model=model,
        key_from=key,
        health_path="" if tokens else "/readyz",
    )


def _line(path: Path, name: str) -> str:
    """Return the one line of a file of the user's settings."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        msg = f"where the pool {name!r} answers cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(msg, resolve="state it in the settings of the overlay", where=Where(path)) from error


def _json(path: Path, kind: type) -> Any:  # noqa: ANN401 - whatever the file holds, of the kind asked for
    """Return a file's JSON of one kind; raise ``InputError``."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"the file cannot be read as JSON: {getattr(error, 'strerror', None) or error}"
        raise InputError(msg, resolve="correct the file or its path", where=Where(path)) from error
    if not isinstance(found, kind):
        msg = f"got {type(found).__name__}, expected {kind.__name__}"
        raise InputError(msg, resolve="correct the file", where=Where(path))
    return found


# ---------------------------------------------------------------------------------------------------------------------- pools


def _pool(
    pool: Pool, upstream: Upstream | None, find_token_price: FindTokenPrice, find_function_price: FindFunctionPrice
) -> ServedPool:
    """Return a pool of the plan; figures of a machine become those of one of its replicas."""
    serving, each = pool.serving, pool.serving.engines_per_machine
    rates = find_token_price(pool.cloud, _at_provider(pool), pool.offer) if serving.answer_s is not None else (0.0, 0.0)
    function = find_function_price(pool.machine, pool.region) if serving.keep_alive_s is not None else None
    by_use = serving.answer_s is not None or function is not None
    return ServedPool(
        name=pool.name,
        model=pool.model,
        variant=pool.form,
        upstream=upstream,
        offer=pool.offer,
        cloud=pool.cloud,
        region=pool.region,
        machine=pool.machine,
        usd_per_hour=0.0 if by_use else (pool.node.usd_per_hour if pool.node else None),
        replicas_per_machine=each,
        requests_per_s=serving.requests_per_s / each,
        concurrency=serving.concurrency / each,
        max_wait_s=serving.max_wait_s,
        usd_per_million_input_tokens=rates[0],
        usd_per_million_output_tokens=rates[1],
        function=function,
        deferrable_limit=serving.deferrable_limit,
        start_s=serving.start_s,
        group=serving.group or pool.variant,
    )


def _at_provider(pool: Pool) -> str:
    """Return what a provider calls the model of a token API, whose machine is ``provider/model``."""
    return pool.machine.partition("/")[2] or pool.machine


def _no_token_price(provider: str, model: str, offer: str) -> TokenRates:
    """Return nothing: an engine of one's own has no such price."""
    msg = f"{provider}'s {model} ({offer}) is no engine"
    raise InputError(msg, resolve="name a pool of machines")


def _writes(pool: Pool) -> bool:
    """Return whether a pool's model writes texts: it is asked by OpenAI's API, and others by the Open Inference Protocol."""
    return isinstance(pool.serving.engine, TokenEngine) or pool.serving.answer_s is not None


def _answers(plan: Plan, pool: Pool, item: ServedClass) -> bool:
    """Return whether a pool answers requests of a class."""
    routed = any(rule.pool == pool.name and rule.traffic_class == item.name for rule in plan.routing)
    return routed or item.name in pool.serving.deferrable_classes


# --------------------------------------------------------------------------------------------------------------------- models


def _models(plan: Plan, pools: tuple[Pool, ...], classes: tuple[ServedClass, ...]) -> tuple[ServedModel, ...]:
    """Return what clients may ask for by name: a class, which any of its pools answers, or a model.

    Of a class that both write and answer requests by other protocols, those that write answer its name: which requests the others can
    answer only the client knows, who asks them by their model's.
    """
    names = _names(classes)
    found: dict[str, ServedModel] = {}
    for item in classes:
        every = tuple(pool for pool in pools if _answers(plan, pool, item))
        mine = tuple(pool for pool in every if _writes(pool)) or every
        asked = next((short for short, full in names.items() if full == item.name), item.asked_as or item.name)
        if mine and not item.follows:
            found[asked] = _model(asked, mine, (item.name,), _cascade(plan, item, classes, pools))
            _warn_of_others(plan, item, asked, [pool for pool in every if pool not in mine])
    for title in dict.fromkeys(pool.model for pool in pools):
        mine = tuple(pool for pool in pools if pool.model == title)
        may = tuple(item.name for item in classes if not item.follows and any(_answers(plan, pool, item) for pool in mine))
        if may:
            found.setdefault(title, _model(title, mine, may, None))
    return tuple(found.values())


def _warn_of_others(plan: Plan, item: ServedClass, asked: str, others: Sequence[Pool]) -> None:
    """Say which part of a class does not come to its planned pools unless clients ask their models by name."""
    for title in dict.fromkeys(pool.model for pool in others):
        names = {pool.name for pool in others if pool.model == title}
        share = sum(rule.share for rule in plan.routing if rule.traffic_class == item.name and rule.pool in names)
        what = "the plan has %s answer %.0f %% of %s: clients must ask it by that name, or the others get more than is planned for them"
        log.warning(what, title, 100 * share, asked)


def _model(name: str, pools: tuple[Pool, ...], classes: tuple[str, ...], cascade: ServedCascade | None) -> ServedModel:
    """Return one name."""
    tokens = any(_writes(pool) for pool in pools)
    task: Task = "chat" if tokens else "infer"
    also: tuple[Task, ...] = ("embed",) if tokens else REQUESTS
    return ServedModel(name, task, tuple(pool.name for pool in pools), cascade, classes, also=also)


def _cascade(plan: Plan, first: ServedClass, classes: tuple[ServedClass, ...], pools: tuple[Pool, ...]) -> ServedCascade | None:
    """Return the cascade that a class begins; which margin lets that share go on is learned while it runs."""
    then = next((item for item in classes if item.follows == first.name), None)
    if then is None:
        return None
    small, large = (next((pool.name for pool in pools if _answers(plan, pool, item)), "") for item in (first, then))
    return ServedCascade(small, large, margin=float("nan"), escalated=then.follow_share)


def _names(classes: tuple[ServedClass, ...]) -> dict[str, str]:
    """Return what clients may call the classes: as the workload does, without the place and the part of a cascade."""
    found: dict[str, str] = {}
    for item in classes:
        if not item.follows:
            name = item.asked_as or item.name
            region = item.place[1] if item.place else ""
            found[name.removesuffix(f".{region}") if region else name] = item.name
    return found
