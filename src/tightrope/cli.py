"""The command line: one verb per stage. Heavy modules load inside the verb that needs them, so ``--help`` stays fast.

Exit codes: 0 done, 2 bad input, 3 infeasible, 4 not proven.
"""

import sys
from typing import Annotated

import typer

from tightrope.base.errors import TightropeError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
DEBUG = {"on": False}


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Find the cheapest way to serve a model's real traffic without breaking its latency promises."""
    DEBUG["on"] = debug


def main() -> None:
    """Run the command line; an error that a user can mend is one message and an exit code, never a traceback."""
    try:
        app()
    except TightropeError as error:
        if DEBUG["on"]:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
