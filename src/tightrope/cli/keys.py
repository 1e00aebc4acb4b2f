"""``tightrope keys …``: API keys of a gateway. A key is shown once, at creation; the file holds only its digest."""

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError
from tightrope.base.units import parse_seconds

if TYPE_CHECKING:
    from tightrope.serve.access.keyfile import KeyEntry

app = typer.Typer(no_args_is_help=True, help="API keys of a gateway: create, list, revoke.")

File = Annotated[Path, typer.Option("--file", metavar="KEYS.JSON", help="The key file named in serve.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SCOPES = ("infer", "batch", "metrics", "admin")


@app.command()
def create(
    file: File,
    tenant: Annotated[
        str, typer.Option(metavar="NAME", help="Tenant of the key: budgets, limits and the ledger count by tenant.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the key; default: made from the tenant's.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="infer, batch, metrics or admin; default: infer and batch.")
    ] = None,
    traffic_class: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Traffic class of the key, its default first; default: any."),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="Lifetime, such as 90d; default: no expiry.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create a key and print it once."""
    from tightrope.serve.access.keyfile import create_key

    now = datetime.now(UTC).replace(microsecond=0)
    stated = {
        "name": _choose_name(name, tenant),
        "tenant": _check_tenant(tenant),
        "scopes": _parse_scopes(scope or ["infer", "batch"]),
        "classes": traffic_class or [],
        "created": now,
        "expires": _find_expiry(expires, now),
    }
    entry, key = create_key(file, stated)
    if as_json:
        typer.echo(json.dumps({"key": key, **_as_public_dict(entry, now)}))
        return
    until = f"until {entry.expires:%Y-%m-%d %H:%M} UTC" if entry.expires else "for ever"
    typer.echo(f"key {entry.name} of {entry.tenant}, {until}; it is not shown again:", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(file: File, as_json: AsJson = False) -> None:
    """List the keys with tenant, scopes and expiry."""
    from rich.console import Console
    from rich.text import Text

    from tightrope.render.terminal import grid, plain_text
    from tightrope.serve.access.keyfile import load_keys

    now = datetime.now(UTC)
    entries = load_keys(file).keys
    if as_json:
        typer.echo(json.dumps({"keys": [_as_public_dict(entry, now) for entry in entries]}))
        return
    table = grid("left!", "left", "left!", "left", "left", "left!", "left!")
    table.add_row(*(Text(head, "dim") for head in ("key", "tenant", "state", "may", "classes", "made", "expires")))
    for entry in entries:
        state = entry.state(now)
        until = f"{entry.expires:%Y-%m-%d}" if entry.expires else "never"
        cells = (" ".join(entry.scopes), " ".join(entry.classes) or "any", f"{entry.created:%Y-%m-%d}", until)
        style = "" if state == "active" else "dim"
        table.add_row(*(plain_text(cell, style) for cell in (entry.name, entry.tenant, state, *cells)))
    Console().print(table)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="KEY", help="Name of the key, as `list` shows it; not the key itself.")],
    file: File,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; a running gateway rejects it within seconds."""
    from tightrope.serve.access.keyfile import PREFIX, revoke_key

    if name.startswith(f"{PREFIX}_"):
        msg = "got a key, expected its name: the part between the first two `_`"
        raise InputError(msg, resolve=f"run `tightrope keys revoke {name.split('_')[1]} --file {file}`")
    now = datetime.now(UTC).replace(microsecond=0)
    entry = revoke_key(file, name, now)
    if as_json:
        typer.echo(json.dumps(_as_public_dict(entry, now)))
    else:
        typer.echo(f"revoked  {entry.name} of {entry.tenant}", err=True)


def _as_public_dict(entry: "KeyEntry", now: datetime) -> dict[str, object]:
    """Return a key's record without its digest."""
    return {**entry.model_dump(exclude={"sha256"}), "state": entry.state(now)}


def _choose_name(name: str, tenant: str) -> str:
    """Return the given name, or one made from the tenant's; raise ``InputError`` if it is invalid."""
    if not name:
        plain = re.sub(r"[^a-z0-9]+", "-", tenant.casefold()).strip("-")[:40].strip("-") or "key"
        return f"{plain}-{secrets.token_hex(3)}"
    if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is None or len(name) > 64:
        msg = f"--name: got {name[:80]!r}, expected small letters, digits and single - between them, at most 64"
        raise InputError(msg, resolve="write a name such as --name acme-web")
    return name


def _check_tenant(tenant: str) -> str:
    """Return the tenant's name; raise ``InputError`` if it is invalid."""
    if not 1 <= len(tenant) <= 128 or not tenant.isprintable() or tenant == "*":
        msg = f"--tenant: got {tenant[:80]!r}, expected 1 to 128 printable characters, and not *, which means all other tenants"
        raise InputError(msg, resolve="correct --tenant")
    return tenant


def _parse_scopes(scopes: list[str]) -> list[str]:
    """Return the scopes without duplicates; raise ``InputError`` for an unknown scope."""
    wrong = next((scope for scope in scopes if scope not in SCOPES), None)
    if wrong is not None:
        msg = f"--scope: got {wrong[:40]!r}, expected {', '.join(SCOPES)}"
        raise InputError(msg, resolve="write --scope infer, and repeat it for more")
    return list(dict.fromkeys(scopes))


def _find_expiry(text: str, now: datetime) -> datetime | None:
    """Return when a key with this lifetime expires; raise ``InputError`` if the lifetime is invalid."""
    if not text:
        return None
    resolve = "write it as 90d or 12h"
    try:
        until = now + timedelta(seconds=parse_seconds(text))
    except (ValueError, OverflowError) as error:
        msg = f"--expires: {error}"
        raise InputError(msg, resolve=resolve) from error
    if until <= now:
        msg = f"--expires: got {text!r}, expected a second or more"
        raise InputError(msg, resolve=resolve)
    return until
