"""The command line: one verb per stage. Heavy modules load inside the verb that needs them, so ``--help`` stays fast.

Each verb is a function of a module here, added to ``app`` below. Exit codes: 0 done, 2 bad input, 3 infeasible, 4 not proven, or
a promise missed in a replay.
"""

import os
import sys
from typing import Annotated

import typer

from tightrope.base.errors import MissingExtraError, TightropeError
from tightrope.cli import keys, ledger, perf, prices
from tightrope.cli.compare import compare
from tightrope.cli.init import init
from tightrope.cli.plan import plan
from tightrope.cli.render import render
from tightrope.cli.replay import replay
from tightrope.cli.serve import serve

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
DEBUG = {"on": False}
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the signal's number."""


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Find the cheapest way to serve a model's real traffic without breaking its latency promises."""
    DEBUG["on"] = debug


for verb in (init, plan, compare, replay, render, serve):
    app.command()(verb)
app.add_typer(prices.app, name="prices")
app.add_typer(perf.app, name="perf")
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line; a user's error prints one message and sets the exit code, without a traceback."""
    try:
        app()
    except TightropeError as error:
        if DEBUG["on"]:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if DEBUG["on"]:
            raise
        said, code = _describe_unexpected_error(error)
        typer.echo(said, err=True, nl=bool(said))
        sys.exit(code)


def _describe_unexpected_error(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code for an error outside Tightrope's own error tree."""
    what = f"{type(error).__name__}: {error}"
    if KeyboardInterrupt.__name__ in what:  # as pydantic's core passes Ctrl-C on, while a module of ours is loaded
        return "", INTERRUPTED
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("tightrope"):
        lacks = f"error: this command needs the package {error.name!r}, which is not installed here"
        resolve = "pip install 'tightrope[serve]'; the Dockerfile's image contains the gateway only"
        return f"{lacks}\nResolve: {resolve}", MissingExtraError.exit_code
    return f"error: this is a defect of Tightrope: {what}\nResolve: report it with the traceback from --debug", 1
