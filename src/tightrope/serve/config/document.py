"""serve.yaml → ``Settings``: names that stand for others must exist, files must be there, prices come from the price book."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tightrope.base.errors import InputError
from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral
from tightrope.demand.strict_mapping import validated
from tightrope.demand.yaml_document import Document, check_name, read_document
from tightrope.serve.config import schema
from tightrope.serve.config.overrides import FIRST, REFERENCE, SettingsOverrides, file_of
from tightrope.serve.config.settings import LocalModel, ServedCascade, ServedModel, ServedPool, Settings, Upstream

USUAL_CLASS = "requests"
"""The one class of a file that states none: nothing is promised to it."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")

FindPrice: TypeAlias = Callable[[str, str, str], float | None]
"""(machine type, region, offer) → US dollars an hour; None where it is not sold so."""


def load_settings(
    path: Path, find_price: FindPrice, *, host: str = "", keys: Path | None = None, ledger: Path | None = None
) -> Settings:
    """Return the settings of a ``serve.yaml``; raise ``InputError`` with file and line.

    Paths in the file are meant from where the file lies. ``host``, ``keys`` and ``ledger`` are what the command line puts before the
    file's: what belongs together is checked of what holds.
    """
    document = read_document(path, FIRST)
    stated = validated(schema.ServeFile, document, REFERENCE)
    reader = _SettingsReader(document, stated, path.parent, find_price)
    settings = Settings(stated.name, reader.pools(), reader.models(), reader.classes())
    found = SettingsOverrides(document, path.parent, stated, settings).settings(keys, ledger)
    host = host or found.listen.host
    if found.keys is None and host not in LOOPBACK:
        msg = f"listen.host: {host!r} can be reached by others, and no keys are asked for"
        resolve = "write `keys: keys.json` and make one with `tightrope keys create`, or listen on 127.0.0.1"
        raise InputError(msg, resolve=resolve, where=document.where("listen", "host"))
    return found


class _SettingsReader:
    """What the parts of a file share while they are read."""

    def __init__(self, document: Document, stated: schema.ServeFile, folder: Path, find_price: FindPrice) -> None:
        self.document, self.stated, self.folder, self.find_price = document, stated, folder, find_price

    def file(self, name: str | None, *location: str) -> Path | None:
        """Return a file that must be there."""
        return file_of(self.document, self.folder, name, *location)

    # ----------------------------------------------------------------------------------------------------------------- pools

    def pools(self) -> tuple[ServedPool, ...]:
        """Return a pool for every variant, named ``model/variant``."""
        here = self.price(self.stated.machine, "machine")
        return tuple(
            self._pool(model, name, variant, here)
            for model, item in self.stated.models.items()
            for name, variant in item.variants.items()
        )

    def _pool(self, model: str, name: str, stated: schema.VariantConfig, here: float | None) -> ServedPool:
        """Return the pool of one variant."""
        at = ("models", model, "variants", name)
        machine = self.stated.machine if stated.upstream is None else stated.machine
        return ServedPool(
            name=f"{model}/{name}",
            model=model,
            variant=name,
            local=self._local(stated, self.stated.models[model], at),
            upstream=self._upstream(stated.upstream, at),
            quality=stated.quality,
            offer=machine.offer if machine else "on-demand",
            region=(machine.region if machine else None) or "",
            machine=(machine.type if machine else None) or "",
            usd_per_hour=here if stated.upstream is None else self._elsewhere(stated, *at, "machine"),
            replicas_per_machine=stated.replicas_per_machine,
            requests_per_s=stated.requests_per_s,
            concurrency=float(stated.concurrency),
            max_batch=stated.max_batch,
            max_wait_s=stated.max_wait,
            usd_per_million_input_tokens=stated.usd_per_million_input_tokens,
            usd_per_million_output_tokens=stated.usd_per_million_output_tokens,
            usd_per_gb_egress=stated.usd_per_gb_egress,
        )

    def _local(self, stated: schema.VariantConfig, model: schema.ModelConfig, at: tuple[str, ...]) -> LocalModel | None:
        """Return a model file that runs here."""
        path = self.file(stated.onnx, *at, "onnx")
        if path is None:
            return None
        if model.task == "chat":
            msg = f"{'.'.join(at)}: an engine in this process embeds, classifies or infers; it does not chat"
            raise InputError(msg, resolve="serve it by an upstream server (`upstream:`)", where=self.document.where(*at))
        beside = path.parent / "tokenizer.json"
        wants_text = model.task in {"embed", "classify"}
        tokenizer = self.file(stated.tokenizer, *at, "tokenizer") or (beside if wants_text and beside.is_file() else None)
        if wants_text and tokenizer is None:
            msg = f"{'.'.join(at)}: no tokenizer.json lies beside {stated.onnx!r}"
            raise InputError(msg, resolve="give its path as `tokenizer:`", where=self.document.where(*at))
        return LocalModel(
            path=path,
            engine=stated.engine,
            tokenizer=tokenizer,
            head=self.file(stated.head, *at, "head"),
            labels=tuple(model.labels),
            max_tokens=stated.max_tokens,
            pooling=stated.pooling,
            normalize=stated.normalize,
            threads=stated.threads,
            keep_loaded=stated.loaded == "always",
            idle_s=stated.idle,
        )

    def _upstream(self, stated: schema.UpstreamConfig | None, at: tuple[str, ...]) -> Upstream | None:
        """Return upstream servers."""
        if stated is None:
            return None
        for place, url in enumerate(stated.replicas):
            if not url.startswith(("http://", "https://")):
                msg = f"{'.'.join(at)}.upstream.replicas: got {url!r}, expected a URL such as http://10.0.0.4:8000"
                raise InputError(msg, resolve="correct it", where=self.document.where(*at, "upstream", "replicas", place))
        return Upstream(
            api=stated.api,
            replicas=tuple(url.rstrip("/") for url in stated.replicas),
            discover=stated.discover,
            model=stated.model,
            key_from=self.file(stated.key_from, *at, "upstream", "key_from"),
            retries=stated.retries,
            hedge_s=stated.hedge,
            hold_s=stated.hold or 0.0,
            answer_s=stated.answer,
            failures=stated.failures,
            health_path=stated.health,
        )

    def _elsewhere(self, stated: schema.VariantConfig, *at: str) -> float | None:
        """Return what an hour of a machine elsewhere costs: nothing where tokens are what is paid for, and no machine is stated."""
        if stated.machine is None and (stated.usd_per_million_input_tokens or stated.usd_per_million_output_tokens):
            return 0.0
        return self.price(stated.machine, *at)

    def price(self, stated: schema.MachineConfig | None, *at: str) -> float | None:
        """Return what an hour of a machine costs; None where nothing is said of it."""
        if stated is None or stated.usd_per_hour is not None or stated.type is None:
            return None if stated is None else stated.usd_per_hour
        found = self.find_price(stated.type, stated.region or "", stated.offer)
        if found is None:
            msg = f"{'.'.join(at)}: the price book has no {stated.offer} price of {stated.type} in {stated.region}"
            raise InputError(msg, resolve="correct type, region or offer, or state usd_per_hour", where=self.document.where(*at))
        return found

    # ---------------------------------------------------------------------------------------------------------------- models

    def models(self) -> tuple[ServedModel, ...]:
        """Return the names that clients ask for."""
        return tuple(self._model(name, item) for name, item in self.stated.models.items())

    def _model(self, name: str, stated: schema.ModelConfig) -> ServedModel:
        """Return one model; its classes and the variants of its cascade must exist."""
        for place, wanted in enumerate(stated.classes):
            check_name(wanted, "traffic class", self.stated.classes, self.document.where("models", name, "classes", place))
        if max(variant.quality for variant in stated.variants.values()) < stated.quality_floor:
            msg = f"models.{name}.quality_floor: no variant is as good as {stated.quality_floor:g}"
            raise InputError(
                msg, resolve="correct it, or the quality of a variant", where=self.document.where("models", name, "quality_floor")
            )
        return ServedModel(
            name=name,
            task=stated.task,
            pools=tuple(f"{name}/{variant}" for variant in stated.variants),
            cascade=self._cascade(name, stated),
            classes=tuple(stated.classes),
            quality_floor=stated.quality_floor,
            cache=stated.cache,
        )

    def _cascade(self, name: str, stated: schema.ModelConfig) -> ServedCascade | None:
        """Return a model's cascade."""
        if stated.cascade is None:
            return None
        at = ("models", name, "cascade")
        if stated.task not in {"classify", "chat"}:
            msg = f"models.{name}.cascade: a model of the task {stated.task} says no confidence"
            raise InputError(msg, resolve="take the cascade out", where=self.document.where(*at))
        for part in ("small", "large"):
            check_name(getattr(stated.cascade, part), "variant", stated.variants, self.document.where(*at, part))
        item = stated.cascade
        return ServedCascade(f"{name}/{item.small}", f"{name}/{item.large}", item.margin, item.escalated)

    # ---------------------------------------------------------------------------------------------------------------- others

    def classes(self) -> tuple[ServedClass, ...]:
        """Return the traffic classes, the usual one where none is stated."""
        if not self.stated.classes:
            return (ServedClass(USUAL_CLASS, (), 0.0),)
        return tuple(_class(name, item) for name, item in self.stated.classes.items())


def _class(name: str, stated: schema.TrafficClassConfig) -> ServedClass:
    """Return one traffic class; a partial batch goes so that its first request keeps its promise."""
    limits = [slo.limit_s for slo in stated.slo if slo.metric in {"latency", "ttft"}]
    deferral = None if stated.within is None else Deferral(0.0, stated.within / 3600.0)
    return ServedClass(
        name,
        tuple(stated.slo),
        0.0,
        deferral=deferral,
        priority=stated.priority,
        answer_within_s=min(limits, default=None),
        shed_wait_s=stated.shed_wait,
    )
