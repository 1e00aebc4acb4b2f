"""Write the generated parts of the documentation, or say which are stale: ``python -m docs.generate [--check]``.

Two kinds: whole pages (``PAGES``) and blocks between ``<!-- generated: NAME -->`` and ``<!-- /generated -->`` in any page. A
block whose name is a command (``$ tightrope …``) holds what that command prints, run in the page's order in a folder with nothing
but ``examples/``; that takes a while: ``--check`` leaves it to ``tests/docs/test_readme.py``. To extend: add a row to a table.
"""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import typer

from tightrope.cli import app
from tightrope.demand.columns import columns_table
from tightrope.demand.schema import schema_page
from tightrope.plan.solve.constraints import FAMILIES
from tightrope.render.reference import plan_reference, replayed_reference
from tightrope.serve.config.schema import serve_schema_page

ROOT = Path(__file__).parents[1]
COLUMNS = 118
FORMULATION = """# Formulation

What the optimiser must keep, one family of constraints a row. An infeasible workload is answered with the family's name and the
field of `workload.yaml` that loosens it. How it is solved: [why the problem is cut into hours](../explanation/why-decompose.md).

Letters: `p` a pool option (variant, machine, region and pay-as-you-go offer), `c` an interactive class, `w` a window of work that
can wait, `t` an hour of the week, `v` a variant, `q` a quota. Decided: `n[p,t]` machines, whole; `f[c,p,t]` the share of a class
that a pool answers; `g[w,p,t]` the share of a window's work done; `lost[p,t]` machines in a pool's largest zone; `runs[p,t]` 1 where
a pool carries anything; `covered[p,t]` machines paid by the commitment; `commitment` US dollars an hour. Given: `rate[c,t]`
planned requests/s, `mu[c,p,t]` requests/s that one machine sustains within the promises.
"""
PASSING = re.compile(r"(?<=planned in)( +)[\d.,]+(?= s\b)|(?<= )\d+(?= days old\b)")
"""How long planning took and how old the prices are: what differs from run to run and from day to day."""
BLOCK = re.compile(r"(?<=<!-- generated: )(?P<name>[^\n]+)(?P<open> -->\n)(?P<body>.*?)(?=<!-- /generated -->)", re.DOTALL)


def printed_by(command: str, cwd: Path = ROOT) -> str:
    """Return what a ``tightrope`` command prints, errors included, without colours and ``COLUMNS`` wide."""
    program, *arguments = shlex.split(command)
    env = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME") if name in os.environ}
    env |= {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb", "PYTHONUTF8": "1"}
    env["TIGHTROPE_PRICES"] = str(ROOT / "out" / "no-refreshed-prices")  # what someone refreshed here is no part of the pages
    path = Path(sys.executable).with_name(program)
    done = subprocess.run(  # noqa: S603 - the commands are the documentation's own
        [path, *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def console(command: str, cwd: Path = ROOT) -> str:
    """Return a fenced block of a command and what it prints."""
    return f"```console\n$ {command}\n{printed_by(command, cwd)}\n```\n"


def cli_reference() -> str:
    """Return the page of every verb's ``--help``."""
    commands = _helps(typer.main.get_command(app), "tightrope")
    head = "# Command line\n\nExit codes: 0 done, 2 bad input, 3 infeasible, 4 not proven, or a promise missed in a replay.\n"
    return "\n".join([head, *(console(command) for command in commands)])


def _helps(command: object, name: str) -> list[str]:
    """Return the ``--help`` of a command and of every verb inside it."""
    verbs = getattr(command, "commands", {})
    return [f"{name} --help", *(line for verb in sorted(verbs) for line in _helps(verbs[verb], f"{name} {verb}"))]


def formulation() -> str:
    """Return the page of the constraint families: one name each, the same in infeasibility reports."""
    rows = [f"| `{family.name}` | {family.meaning} | `{family.formula}` | `{family.fix}` |" for family in FAMILIES.values()]
    table = "\n".join(["| family | says | formula | loosened by |", "|---|---|---|---|", *rows])
    return f"{FORMULATION}\n{table}\n"


def layers() -> str:
    """Return the picture of the layers that exist, in the order the import rules give, with each one's first line."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    order = next(rule["layers"] for rule in rules if rule["type"] == "layers")
    lines = [_layer(name.strip(" ()")) for layer in reversed(order) for name in layer.split("|")]
    return "\n".join(["```text", "src/tightrope/", *(line for line in lines if line), "```", ""])


def _layer(name: str) -> str:
    """Return one line of the picture; empty where the layer is not built yet."""
    package = ROOT / "src" / "tightrope" / name
    path = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    if not path.exists():
        return ""
    said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0].split(". ")[0].rstrip(".")
    return f"  {name + '/' if package.is_dir() else path.name:<10} {said}"


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_reference,
    "docs/reference/formulation.md": formulation,
    "docs/reference/plan-json.md": plan_reference,
    "docs/reference/replay-json.md": replayed_reference,
    "docs/reference/serve.schema.json": serve_schema_page,
    "docs/reference/workload.schema.json": schema_page,
}
BLOCKS: dict[str, Callable[[], str]] = {"layers": layers, "trace columns": columns_table}


def with_blocks(page: str, cwd: Path | None = None) -> str:
    """Return a page with its blocks renewed; those of commands only where there is a ``cwd`` to run them in.

    A block that differs only in what passes with time stays as it is. A name that nothing writes raises ``KeyError``.
    """

    def renewed(match: re.Match[str]) -> str:
        name, body = match["name"], match["body"]
        if not name.startswith("$ "):
            body = BLOCKS[name]()
        elif cwd and PASSING.sub("", printed := console(name[2:], cwd)) != PASSING.sub("", body):
            body = printed
        return f"{name}{match['open']}{body}"

    return BLOCK.sub(renewed, page)


def with_commands(page: str) -> str:
    """Return a page with every block renewed, its commands run in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        return with_blocks(page, Path(folder))


def pages() -> list[Path]:
    """Return every page written by hand or in part."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def stale(renew: Callable[[str], str]) -> dict[Path, str]:
    """Return path → right content of every page that is not as it should be; ``renew`` mends the blocks of one."""
    right = {ROOT / name: write() for name, write in PAGES.items()}
    for page in set(pages()) - set(right):
        right[page] = renew(page.read_text(encoding="utf-8"))
    return {page: text for page, text in right.items() if not page.exists() or page.read_text(encoding="utf-8") != text}


def main() -> int:
    """Return the exit code: 1 where ``--check`` found something stale."""
    parser = argparse.ArgumentParser("docs.generate", description="Renew the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail and list what is stale")
    check = parser.parse_args().check
    found = stale(with_blocks if check else with_commands)
    for page, text in found.items():
        sys.stdout.write(f"{'stale' if check else 'wrote'} {page.relative_to(ROOT)}\n")
        if not check:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if check and found:
        sys.stdout.write("Resolve: make docs\n")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
