"""``tightrope keys …``: who may ask a gateway. A key is shown once, when it is made; the file holds only what it is checked by."""

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

File = Annotated[Path, typer.Option("--file", metavar="KEYS.JSON", help="The file of keys, as serve.yaml names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SCOPES = ("infer", "batch", "metrics", "admin")


@app.command()
def create(
    file: File,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose key it is: budgets, limits and the ledger go by it.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the key; made from the tenant's where left out.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="infer, batch, metrics or admin; infer and batch where left out.")
    ] = None,
    traffic_class: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Class it may ask in, its own first; any where left out.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it lasts, such as 90d; for ever where left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    from tightrope.serve.access.keyfile import KeyEntry, Scrypt, create_key

    now = datetime.now(UTC).replace(microsecond=0)
    stated = {
        "name": _name(name, tenant),
        "tenant": _tenant(tenant),
        "scopes": _scopes(scope or ["infer", "batch"]),
        "classes": traffic_class or [],
        "created": now,
        "expires": _expires(expires, now),
    }

    def record(scrypt: Scrypt) -> KeyEntry:
        return KeyEntry.model_validate({**stated, "scrypt": scrypt})

    entry, key = create_key(file, record)
    if as_json:
        typer.echo(json.dumps({"key": key, **_shown(entry, now)}))
        return
    until = f"until {entry.expires:%Y-%m-%d %H:%M} UTC" if entry.expires else "for ever"
    typer.echo(f"key {entry.name} of {entry.tenant}, {until}; it is not shown again:", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(file: File, as_json: AsJson = False) -> None:
    """List the keys: whose they are, what they may, and until when."""
    from rich.console import Console
    from rich.text import Text

    from tightrope.render.terminal import grid, plain_text
    from tightrope.serve.access.keyfile import load_keys

    now = datetime.now(UTC)
    entries = load_keys(file).keys
    if as_json:
        typer.echo(json.dumps({"keys": [_shown(entry, now) for entry in entries]}))
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
    """Revoke a key: a gateway that runs lets it in no longer within seconds."""
    from tightrope.serve.access.keyfile import PREFIX, revoke_key

    if name.startswith(f"{PREFIX}_"):
        msg = "got a key, expected its name: what stands between the first two `_`"
        raise InputError(msg, resolve=f"run `tightrope keys revoke {name.split('_')[1]} --file {file}`")
    now = datetime.now(UTC).replace(microsecond=0)
    entry = revoke_key(file, name, now)
    if as_json:
        typer.echo(json.dumps(_shown(entry, now)))
    else:
        typer.echo(f"revoked  {entry.name} of {entry.tenant}", err=True)


def _shown(entry: "KeyEntry", now: datetime) -> dict[str, object]:
    """Return a key's record but for what it is checked by."""
    return {**entry.model_dump(exclude={"scrypt"}), "state": entry.state(now)}


def _name(name: str, tenant: str) -> str:
    """Return the name as it was given, or one made from the tenant's; raise ``InputError`` where it can be none."""
    if not name:
        plain = re.sub(r"[^a-z0-9]+", "-", tenant.casefold()).strip("-")[:40].strip("-") or "key"
        return f"{plain}-{secrets.token_hex(3)}"
    if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is None or len(name) > 64:
        msg = f"--name: got {name[:80]!r}, expected small letters, digits and single - between them, at most 64"
        raise InputError(msg, resolve="write it so, such as --name acme-web")
    return name


def _tenant(tenant: str) -> str:
    """Return the tenant's name; raise ``InputError`` where it can be none."""
    if not 1 <= len(tenant) <= 128 or not tenant.isprintable() or tenant == "*":
        msg = f"--tenant: got {tenant[:80]!r}, expected 1 to 128 letters that can be printed, and not *, which is everybody else"
        raise InputError(msg, resolve="correct --tenant")
    return tenant


def _scopes(scopes: list[str]) -> list[str]:
    """Return the scopes, each once; raise ``InputError`` where one is not known."""
    wrong = next((scope for scope in scopes if scope not in SCOPES), None)
    if wrong is not None:
        msg = f"--scope: got {wrong[:40]!r}, expected {', '.join(SCOPES)}"
        raise InputError(msg, resolve="write --scope infer, and repeat it for more")
    return list(dict.fromkeys(scopes))


def _expires(text: str, now: datetime) -> datetime | None:
    """Return when a key that lasts so long expires; raise ``InputError`` where it says no time that there will be."""
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
