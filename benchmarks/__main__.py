"""Run one benchmark, or all as a table: ``python -m benchmarks [NAME] [--json]``."""

import argparse
import json
import subprocess
import sys

from benchmarks import FIELDS, declared
from tightrope.base.errors import TightropeError, build_unknown_name_error

COLUMNS = "{name:<18} {value:>12} {unit:<10} {ratio:>8} × {peer}"


def as_line(result: dict) -> str:
    """Return one result as a row of the table, its detail indented below."""
    row = COLUMNS.format(**result | {"value": f"{result['value']:,.3f}", "ratio": f"{result['ratio']:.2f}"})
    return f"{row} ({result['peer_value']:,.3f})\n    {result['detail']}"


def run_one(name: str) -> dict:
    """Return one benchmark's result, in the order of ``FIELDS``."""
    known = declared()
    if name not in known:
        raise build_unknown_name_error(name, kind="benchmark", known=known)
    result = known[name].run()
    return {field: result[field] for field in FIELDS}


def run_all() -> int:
    """Print the table; return how many benchmarks failed."""
    print(COLUMNS.format(name="benchmark", value="value", unit="unit", ratio="ratio", peer="peer"))
    failed = 0
    for name in declared():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", name, "--json"], stdout=subprocess.PIPE, text=True, check=False
        )
        failed += done.returncode != 0
        print(as_line(json.loads(done.stdout)) if done.returncode == 0 else f"{name:<18} failed", flush=True)
    return failed


def main() -> int:
    """Return the exit code: 0 done, 1 a benchmark failed, 2 no such benchmark."""
    known = "\n".join(f"  {name:<18} {module.DOC}" for name, module in declared().items())
    parser = argparse.ArgumentParser("benchmarks", epilog=known, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="which to run; all where it is left out")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args()
    if options.name is None:
        return min(run_all(), 1)
    try:
        result = run_one(options.name)
    except TightropeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        print(f"error: {error}\n{error.output.decode(errors='replace')}", file=sys.stderr)
        return 1
    print(json.dumps(result) if options.json else as_line(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
