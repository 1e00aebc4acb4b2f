"""``tightrope serve``: answer requests by ``serve.yaml`` or a plan, and meter each in dollars."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from tightrope.base.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from tightrope.serve.config.settings import FunctionPrice, Settings

ENV = "TIGHTROPE_"
"""Prefix of the environment variables for options, so that a pod is configured without a new command line."""


def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SERVE.YAML]",
            help="Models, classes and settings; with --plan the settings outside the plan, such as tenants and limits.",
            envvar=f"{ENV}SERVE",
        ),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="A plan.json to run; it replaces the file's models and classes.")] = None,
    place: Annotated[str, typer.Option(metavar="CLOUD/REGION", help="With --plan: place of this gateway.")] = "",
    upstreams: Annotated[Path | None, typer.Option(help="With --place: upstreams.json with the pools' addresses.")] = None,
    pool: Annotated[str, typer.Option(metavar="NAME", help="With --plan: be one engine of this pool, not a gateway.")] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="FILE|FOLDER|URL",
            help="With --pool: the ONNX file, or a folder with model.onnx; s3://…, gs://… and https://… are fetched.",
        ),
    ] = "",
    models: Annotated[
        Path | None, typer.Option(help="With --model: cache folder for fetched models.", envvar=f"{ENV}MODELS")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; overrides the file's.", envvar=f"{ENV}HOST")] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; overrides the file's.", envvar=f"{ENV}PORT")] = None,
    keys: Annotated[Path | None, typer.Option(help="File of `tightrope keys`.", envvar=f"{ENV}KEYS")] = None,
    jobs: Annotated[
        str, typer.Option(metavar="FILE|URL", help="SQLite file or postgresql://… for deferrable work.", envvar=f"{ENV}JOBS")
    ] = "",
    ledger: Annotated[Path | None, typer.Option(help="Folder of the ledger.", envvar=f"{ENV}LEDGER")] = None,
    traces: Annotated[str, typer.Option(metavar="URL", help="OTLP endpoint for traces.", envvar=f"{ENV}TRACES")] = "",
    notices: Annotated[
        str, typer.Option(metavar="CLOUD", help="Listen for notices of spot machines: aws, azure, gcp.", envvar=f"{ENV}NOTICES")
    ] = "",
    leaves: Annotated[
        float | None,
        typer.Option(min=0.0, help="Seconds for which a terminating gateway still accepts requests.", envvar=f"{ENV}LEAVES"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check file and options, and serve nothing.")] = False,
    top: Annotated[
        str, typer.Option(metavar="URL", help="Show the live view of a running gateway instead; its key is in TIGHTROPE_KEY.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With --check and --top: print it as JSON, once.")] = False,
) -> None:
    """Serve models: batch, route, cache, shed, meter; by OpenAI's and the Open Inference Protocol."""
    _check_installed()
    if top:
        _show_live_view(top, as_json=as_json)
        return
    if file is None and plan is None:
        msg = "got neither a file nor --plan, expected one of them"
        raise InputError(msg, resolve="give serve.yaml, or --plan with --place and --upstreams, or with --pool and --model")
    asked = {"--place": place, "--upstreams": upstreams, "--pool": pool, "--model": model}
    _check_options({option for option, value in asked.items() if value}, keys, has_plan=plan is not None)
    if plan is not None:
        settings = _from_plan(plan, place, upstreams, pool, model, models)
        settings = settings if file is None else _merge_file(file, settings, keys, ledger)
    else:
        assert file is not None  # noqa: S101 - checked above
        settings = _from_file(file, host, keys, ledger)
    settings = _with_options(settings, host, port, keys, jobs, ledger, traces, notices)
    if leaves is not None:
        settings = replace(settings, leaves_s=leaves)
    from tightrope.serve.config.preflight import check_named

    check_named(settings)
    if check:
        _print_settings(settings, as_json=as_json)
        return
    from tightrope.serve.run import run

    run(settings)


def _check_installed() -> None:
    """Raise ``MissingExtraError`` if the extra is not installed."""
    try:
        import msgspec  # noqa: F401 - the first of what the extra brings
        import uvicorn  # noqa: F401
    except ImportError as error:
        msg = f"`tightrope serve` needs the package {error.name!r}"
        raise MissingExtraError(msg, resolve="pip install 'tightrope[serve]'") from error


def _check_options(asked: set[str], keys: Path | None, *, has_plan: bool) -> None:
    """Raise ``InputError`` if an option would be ignored or is empty."""
    gateway, engine = {"--place", "--upstreams"}, {"--pool", "--model"}
    if not has_plan and asked:
        msg = f"{min(asked)} is of a plan, and there is none"
        raise InputError(msg, resolve="give --plan instead of a file, or leave the option out")
    if has_plan and asked not in (gateway, engine):
        said = f"with {', '.join(sorted(asked))} " if asked else ""
        msg = f"--plan {said or 'alone '}needs a role"
        raise InputError(msg, resolve="give --place and --upstreams to be a gateway, or --pool and --model to be one engine")
    if keys is not None and not keys.is_file():
        msg = f"there is no key file {str(keys)!r}"
        raise InputError(msg, resolve="make a key: `tightrope keys create --file FILE --tenant NAME`")


def _from_file(file: Path, host: str, keys: Path | None, ledger: Path | None) -> "Settings":
    """Return the settings of a serve.yaml; command-line options take precedence."""
    from tightrope.serve.config.document import load_settings

    return load_settings(file, _find_price, host=host, keys=keys, ledger=ledger)


def _merge_file(file: Path, settings: "Settings", keys: Path | None, ledger: Path | None) -> "Settings":
    """Return a plan's settings merged with a serve.yaml."""
    from tightrope.serve.config.overrides import load_beside

    return load_beside(file, settings, keys=keys, ledger=ledger)


def _from_plan(plan: Path, place: str, upstreams: Path | None, pool: str, model: str, models: Path | None) -> "Settings":
    """Return a plan's settings for one engine of a pool, or for the gateway of a place."""
    from tightrope.render.plan_json.load import load_plan
    from tightrope.serve.config.from_plan import GatewayPlace, engine_pool, engine_settings, gateway_settings

    loaded = load_plan(plan)
    if upstreams is not None:
        return gateway_settings(loaded, GatewayPlace.parse(place, loaded), upstreams, _find_token_price, _find_function_price)
    from tightrope.serve.fetching import fetch_model

    engine_pool(loaded, pool)
    return engine_settings(loaded, pool, fetch_model(model, models))


def _with_options(
    settings: "Settings",
    host: str,
    port: int | None,
    keys: Path | None,
    jobs: str,
    ledger: Path | None,
    traces: str,
    notices: str,
) -> "Settings":
    """Return the settings with the command-line options applied."""
    if notices not in {"", "aws", "azure", "gcp"}:
        msg = f"--notices: got {notices!r}, expected aws, azure or gcp"
        raise InputError(msg, resolve="correct it")
    jobs = jobs.strip()  # of a secret that was made of a file, with a line end
    if jobs and "://" not in jobs:
        jobs = f"sqlite:///{quote(str(Path(jobs).absolute()))}"
    listen = replace(settings.listen, host=host or settings.listen.host, port=settings.listen.port if port is None else port)
    return replace(
        settings,
        listen=listen,
        keys=keys or settings.keys,
        jobs=jobs or settings.jobs,
        ledger=ledger or settings.ledger,
        traces=traces or settings.traces,
        notices=notices or settings.notices,
    )


def _find_price(machine: str, region: str, offer: str) -> float | None:
    """Return the price of a machine-hour from the price book."""
    from tightrope.clouds.book import load_price_book

    book = load_price_book()
    book.machine(machine)
    row = book.find(machine, region, offer)
    return None if row is None else float(row.usd_per_hour)


def _find_token_price(provider: str, model: str, offer: str) -> tuple[float, float]:
    """Return the price of a million tokens in and out; raise ``InputError`` if the list has none."""
    from tightrope.clouds.token_prices import token_price  # 1.5 MB of figures

    found = token_price(provider, model, None)
    rates = (
        (found.batch_input_usd_per_million, found.batch_output_usd_per_million)
        if offer.endswith("batch")
        else (found.input_usd_per_million, found.output_usd_per_million)
    )
    if rates[0] is None or rates[1] is None:
        msg = f"the price list has no token price for {provider}'s {model}"
        raise InputError(msg, resolve="plan with another model, or update the package genai-prices")
    return float(rates[0]), float(rates[1])


def _find_function_price(machine: str, region: str) -> "FunctionPrice | None":
    """Return a function's price by size from the price book; None if it has none."""
    from tightrope.base.plan import Refusal
    from tightrope.clouds.book import load_price_book
    from tightrope.clouds.service_sizes import find_size
    from tightrope.offers.metered import REQUESTS
    from tightrope.offers.serverless import OFFER
    from tightrope.serve.config.settings import FunctionPrice

    size, terms = find_size(machine), OFFER.terms(machine, region, load_price_book())
    if size is None or isinstance(terms, Refusal):
        return None
    return FunctionPrice(terms.usd_per_unit[REQUESTS], terms.usd_per_hour, size.billed_s)


def _print_settings(settings: "Settings", *, as_json: bool) -> None:
    """Print the settings that would be served."""
    rows = [
        {
            "pool": pool.name,
            "model": pool.model,
            "runs": "here" if pool.local else "elsewhere" if pool.upstream else "nowhere",
            "usd_per_hour": pool.usd_per_hour,
        }
        for pool in settings.pools
    ]
    if as_json:
        import json

        typer.echo(json.dumps({"workload": settings.workload, "port": settings.listen.port, "pools": rows}))
        return
    typer.echo(f"{settings.workload}: {len(rows)} pool{'s' * (len(rows) > 1)} on {settings.listen.host}:{settings.listen.port}")
    for row in rows:
        price = "price not known" if row["usd_per_hour"] is None else f"${row['usd_per_hour']:.4f} an hour"
        typer.echo(f"  {row['pool']}  runs {row['runs']}, {price}")


def _show_live_view(url: str, *, as_json: bool) -> None:
    """Show the live view of a gateway."""
    from tightrope.serve.metrics.top import top

    top(url, os.environ.get(f"{ENV}KEY", ""), as_json=as_json)
