"""What a server says about itself: its models, and its limits where it shows them (vLLM's and SGLang's ways)."""

import re
from dataclasses import dataclass, field
from typing import Any

from tightrope.base.errors import InputError
from tightrope.perf.endpoint.client import Client, FailedError


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits as the server states them; None where it does not."""

    model: str
    context_tokens: int | None = None
    kv_capacity_tokens: int | None = None
    max_sequences: int | None = None
    chunk_tokens: int | None = None
    sources: dict[str, str] = field(default_factory=dict)
    """Limit → where it was read."""


UNKNOWN = {"status 400", "status 404", "status 405", "status 501"}
"""How servers answer on paths that they do not have."""
SGLANG_PATHS = ("/server_info", "/get_server_info")
"""As SGLang 0.5.23 has it, which still knows the second, and as it was before."""
SGLANG = {
    "kv_capacity_tokens": "max_total_num_tokens",
    "max_sequences": "max_running_requests",
    "chunk_tokens": "chunked_prefill_size",
}


async def ask_server(client: Client) -> ServerLimits:
    """Return what the server says; raise ``InputError`` where no model is named and it has not exactly one."""
    listed = await _try(client, "/v1/models", needed=True)
    models = [row for row in _get(listed, "data", []) if isinstance(row, dict)]
    names = [str(row.get("id")) for row in models]
    model = client.target.model or (names[0] if len(names) == 1 else "")
    if not model:
        what = f"the server has {len(names)} models ({', '.join(names[:8])})" if names else "the server does not list its models"
        msg = f"{what}, and none was named"
        raise InputError(msg, resolve="name one with --model")
    row = next((row for row in models if row.get("id") == model), {})
    found: dict[str, tuple[int, str]] = {}
    _keep(found, "context_tokens", row.get("max_model_len"), "/v1/models")
    _keep(found, "kv_capacity_tokens", vllm_cache_tokens(await _try(client, "/metrics")), "/metrics")
    for path in SGLANG_PATHS:
        info = await _try(client, path)
        for ours, theirs in SGLANG.items():
            _keep(found, ours, _get(info, theirs, None), path)
        if info is not None:
            break
    return ServerLimits(
        model, **{key: value for key, (value, _) in found.items()}, sources={key: at for key, (_, at) in found.items()}
    )


def vllm_cache_tokens(metrics: object) -> int | None:
    """Return the tokens that vLLM's KV cache holds by its metrics; None where they do not say.

    vLLM 0.32 says it (``kv_cache_size_tokens``), which is right too where layers differ in their blocks; before, it is reckoned.

    >>> vllm_cache_tokens('vllm:cache_config_info{block_size="16",num_gpu_blocks="2048",engine="0"} 1.0')
    32768
    >>> vllm_cache_tokens('vllm:cache_config_info{block_size="16",kv_cache_size_tokens="30000",num_gpu_blocks="2048"} 1.0')
    30000
    """
    lines = re.findall(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE) if isinstance(metrics, str) else []
    for labels in (dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines):
        stated, block, blocks = (labels.get(name, "") for name in ("kv_cache_size_tokens", "block_size", "num_gpu_blocks"))
        if stated.isdigit():
            return int(stated)
        if block.isdigit() and blocks.isdigit():
            return int(block) * int(blocks)
    return None


def _keep(found: dict[str, tuple[int, str]], key: str, value: object, where: str) -> None:
    """Keep a limit that is a whole number above 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0 and key not in found:
        found[key] = (value, where)


async def _try(client: Client, path: str, *, needed: bool = False) -> Any:  # noqa: ANN401 - what a server says
    """Return what the server answers; None where it does not tell. No server at all is an error; so is any but "unknown", if needed."""
    before = dict(client.errors)
    try:
        return (await client.get(path)).body
    except FailedError as error:
        if not error.kind.startswith("status") or (needed and error.kind not in UNKNOWN):
            raise
        client.errors.clear()
        client.errors.update(before)
        return None


def _get(said: object, key: str, missing: Any) -> Any:  # noqa: ANN401 - what a server says
    """Return a value of a JSON object of the right kind, else ``missing``."""
    value = said.get(key, missing) if isinstance(said, dict) else missing
    return value if missing is None or isinstance(value, type(missing)) else missing
