"""The examples that ``tightrope init --example`` copies: from an installed wheel, or from the checkout."""

import tempfile
from pathlib import Path

from tightrope.base.errors import InputError, Where, build_unknown_name_error

PACKAGE = Path(__file__).parents[1]


def find_examples() -> dict[str, Path]:
    """Return the folder of each example that has a workload, by name."""
    packed = PACKAGE / "examples"
    root = packed if packed.is_dir() else PACKAGE.parents[1] / "examples"
    return {path.parent.name: path.parent for path in sorted(root.glob("*/workload.yaml"))}


def list_files(folder: Path) -> list[Path]:
    """Return the files of an example, relative to its ``folder``: the workload and its traffic."""
    traffic = (path.relative_to(folder) for path in sorted((folder / "traffic").rglob("*")) if path.is_file())
    return [Path("workload.yaml"), *traffic]


def copy_example(name: str, out: Path | None) -> Path:
    """Copy an example atomically into the new folder ``out`` (default: its name); return its workload.yaml."""
    examples = find_examples()
    if name not in examples:
        raise build_unknown_name_error(name, kind="example", known=examples)
    target = out or Path(name)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        what = "the folder exists and is not empty"
        raise InputError(what, resolve="give --out another folder", where=Where(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tightrope-", dir=target.parent) as draft:
            copy = Path(draft) / "example"
            for file in list_files(examples[name]):
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                (copy / file).write_bytes((examples[name] / file).read_bytes())
            if target.is_dir():
                target.rmdir()
            copy.replace(target)
    except OSError as error:
        what = f"cannot write to {target}: {error.strerror or error}"
        raise InputError(what, resolve="give --out a folder you may write to", where=Where(target)) from error
    return target / "workload.yaml"
