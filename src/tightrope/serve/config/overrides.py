"""What a ``serve.yaml`` says beside its models and classes, or beside a plan: where to listen, for whom, within what limits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tightrope.base.errors import InputError, build_unknown_name_error
from tightrope.demand.strict_mapping import validated
from tightrope.demand.yaml_document import Document, read_document
from tightrope.serve.config import schema
from tightrope.serve.config.settings import CacheSettings, Limits, Listen, SemanticCache, Settings, TenantLimits

REFERENCE = "docs/reference/serve.schema.json"
FIRST = "docs/how-to/serve-models.md has a first one"
ENGINES = ("limits", "traces", "log", "notices", "leaves", "cores")
"""What concerns an engine of a pool, which answers gateways alone."""


def load_beside(path: Path, settings: Settings, *, keys: Path | None = None, ledger: Path | None = None) -> Settings:
    """Return the settings of a plan with what a file beside it says; raise ``InputError`` with file and line.

    What it leaves out stays as the plan has it. Of an engine only ``ENGINES`` are taken. Paths in the file are meant from where it lies;
    ``keys`` and ``ledger`` are what the command line puts before the file's: what belongs together is checked of what holds.
    """
    document = read_document(path, FIRST)
    for name in schema.ServeFile.model_fields.keys() - schema.GatewayConfig.model_fields.keys():
        if isinstance(document.value, dict) and name in document.value:
            msg = f"{name}: is said by the plan, beside which this file is read"
            raise InputError(msg, resolve=f"take {name!r} out, or serve this file without --plan", where=document.where(name))
    stated = validated(schema.GatewayConfig, document, REFERENCE)
    return SettingsOverrides(document, path.parent, stated, settings).settings(keys, ledger)


def file_of(document: Document, folder: Path, name: str | None, *location: str) -> Path | None:
    """Return a file that a document names, which must be there."""
    if name is None:
        return None
    path = folder / name
    if not path.is_file():
        msg = f"{'.'.join(location)}: there is no file {name!r}"
        raise InputError(msg, resolve="correct the path: it is meant from this file's folder", where=document.where(*location))
    return path


@dataclass(frozen=True, slots=True)
class SettingsOverrides:
    """What a file says, and the settings that it is put on."""

    document: Document
    folder: Path
    stated: schema.GatewayConfig
    before: Settings

    def settings(self, keys: Path | None, ledger: Path | None) -> Settings:
        """Return the settings with all that is stated; ``keys`` and ``ledger`` are put before it."""
        stated = self.stated
        makes: dict[str, Callable[[], dict[str, Any]]] = {
            "listen": lambda: {"listen": self._listen()},
            "keys": lambda: {"keys": file_of(self.document, self.folder, stated.keys, "keys")},
            "metrics": lambda: {"metrics_key": stated.metrics == "key"},
            "tenants": lambda: {"tenants": {name: _tenant(item) for name, item in stated.tenants.items()}},
            "cache": lambda: {"cache": self._cache()},
            "jobs": lambda: {"jobs": self._jobs()},
            "ledger": lambda: {"ledger": None if stated.ledger is None else self.folder / stated.ledger},
            "traces": lambda: {"traces": stated.traces.endpoint, "trace_share": stated.traces.share} if stated.traces else {},
            "log": lambda: {"log_level": stated.log},
            "notices": lambda: {"notices": stated.notices or ""},
            "leaves": lambda: {"leaves_s": stated.leaves},
            "cores": lambda: {"cores": stated.cores},
            "limits": lambda: {"limits": _limits(stated.limits)},
        }
        found = self.before
        for name, make in makes.items():
            if name in stated.model_fields_set and (name in ENGINES or not found.engine_only):
                found = replace(found, **make())
        found = replace(found, keys=keys or found.keys, ledger=ledger or found.ledger)
        self._check_metrics(found)
        self._check_budgets(found)
        return found

    def _listen(self) -> Listen:
        """Return where it listens."""
        stated, before = self.stated.listen, self.before.listen
        said = {name: getattr(stated, name) for name in stated.model_fields_set}
        for name in ("certificate", "certificate_key"):
            if name in said:
                said[name] = file_of(self.document, self.folder, said[name], "listen", name)
        return replace(before, **said)

    def _cache(self) -> CacheSettings | None:
        """Return the cache of answers."""
        stated = self.stated.cache
        if stated is None:
            return None
        semantic = None
        if stated.semantic is not None:
            embedding = [model.name for model in self.before.models if "embed" in (model.task, *model.also)]
            if stated.semantic.model not in embedding:
                where = self.document.where("cache", "semantic", "model")
                raise build_unknown_name_error(stated.semantic.model, kind="embedding model", known=embedding, where=where)
            semantic = SemanticCache(stated.semantic.threshold, stated.semantic.model, stated.semantic.checked)
        return CacheSettings(stated.entries, int(stated.size), stated.ttl, semantic)

    def _jobs(self) -> str:
        """Return where deferrable work is kept, as a URL."""
        stated = self.stated.jobs
        if stated is None or "://" in stated:
            return stated or ""
        return f"sqlite:///{quote(str((self.folder / stated).absolute()))}"

    def _check_metrics(self, found: Settings) -> None:
        """Want keys where the metrics ask for one."""
        if found.metrics_key and found.keys is None:
            msg = "metrics: a key is asked for, and there are no keys"
            resolve = "write `keys: keys.json` and make one with `tightrope keys create --scope metrics`, or leave `metrics` out"
            raise InputError(msg, resolve=resolve, where=self.document.where("metrics"))

    def _check_budgets(self, found: Settings) -> None:
        """Want what a budget is kept by: a ledger, and a price of everything that answers."""
        unpriced = next((pool for pool in found.pools if pool.usd_per_hour is None), None)
        for name, limits in found.tenants.items():
            where = self.document.where("tenants", name, "budget_usd_per_month")
            if limits.budget_usd_per_month is not None and found.ledger is None:
                msg = f"tenants.{name}: what is spent of a budget is read from the ledger, and none is written"
                raise InputError(msg, resolve="name a folder as `ledger:`", where=where)
            if limits.budget_usd_per_month is not None and unpriced is not None:
                msg = f"tenants.{name}: a budget cannot be kept where it is not known what the pool {unpriced.name!r} costs"
                resolve = (
                    "state `machine:` of what runs here, and of each upstream or its tokens"
                    if isinstance(self.stated, schema.ServeFile)
                    else "leave the budget out: the price book does not say"
                )
                raise InputError(msg, resolve=resolve, where=where)


def _tenant(stated: schema.TenantConfig) -> TenantLimits:
    """Return what one tenant may take."""
    return TenantLimits(stated.requests_per_s, stated.burst, stated.concurrency, stated.budget_usd_per_month)


def _limits(stated: schema.LimitsConfig) -> Limits:
    """Return what is refused."""
    return Limits(
        body_bytes=int(stated.body),
        held_bytes=int(stated.held or max(Limits().held_bytes, stated.body)),
        file_bytes=int(stated.file),
        file_lines=stated.file_lines,
        open_batches=stated.open_batches,
        kept_bytes=int(stated.kept),
        keep_s=stated.keep,
        inputs=stated.inputs,
        tensor_bytes=int(stated.tensors),
        read_s=stated.read,
        answer_s=stated.answer,
        connections=stated.connections,
        waiting=stated.waiting,
    )
