"""What settings name, tried before a model is loaded: servers, keys, a certificate, where deferrable work is kept, where traces go."""

import ssl

from tightrope.base.errors import InputError, Where
from tightrope.serve.access.keyfile import load_keys
from tightrope.serve.config.settings import Listen, ServedPool, Settings
from tightrope.serve.jobs.queue import queue_at
from tightrope.serve.records import Task
from tightrope.serve.upstream.pool import checked_servers


def check_named(settings: Settings) -> None:
    """Raise ``InputError`` where something that the settings name cannot be used; nothing is connected to or written."""
    if settings.keys is not None:
        load_keys(settings.keys)
    _check_certificate(settings.listen)
    tasks = tasks_of(settings)
    for pool in settings.pools:
        if pool.upstream is not None:
            checked_servers(pool, tasks[pool.name])
    if settings.jobs:
        queue_at(settings.jobs)
    if settings.traces and not settings.traces.startswith(("http://", "https://")):
        msg = f"traces: got {settings.traces.rpartition('@')[2]!r}, expected a URL such as http://collector:4318"
        raise InputError(msg, resolve="correct it: traces go by OTLP over HTTP")


def tasks_of(settings: Settings) -> dict[str, Task]:
    """Return pool → what it is asked; of one that no model names, the second part of a plan's cascade, by its servers' protocol."""
    stated = {name: model.task for model in reversed(settings.models) for name in model.pools}
    return {pool.name: stated.get(pool.name) or _usual_task(pool) for pool in settings.pools}


def _usual_task(pool: ServedPool) -> Task:
    """Return what the servers of a pool are asked where nothing is said."""
    return "chat" if pool.upstream is not None and pool.upstream.api == "openai" else "infer"


def _check_certificate(listen: Listen) -> None:
    """Raise ``InputError`` where TLS cannot be spoken with the files."""
    if listen.certificate is None or listen.certificate_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listen.certificate, listen.certificate_key, password=lambda: "")
    except OSError as error:
        mismatch = getattr(error, "reason", None) == "KEY_VALUES_MISMATCH"
        why = "the key is of another certificate" if mismatch else getattr(error, "strerror", None) or str(error)
        msg = f"the certificate cannot be used with the key {str(listen.certificate_key)!r}: {why}"
        resolve = "name PEM files of one pair: `certificate`, and `certificate_key` without a password"
        raise InputError(msg, resolve=resolve, where=Where(listen.certificate)) from error
