"""What the verbs that measure share: an input's shape as an option says it, and a profile as a workload takes it."""

import re

from tightrope.base.errors import InputError


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the name and the shape of ``NAME=AxBxC``; raise ``InputError`` where it is none."""
    name, _, axes = text.rpartition("=")
    if not name or re.fullmatch(r"[1-9]\d{0,6}(x[1-9]\d{0,6})*", axes) is None:
        msg = f"--input is {text!r}, expected a name and its shape but for the batch, such as pixels=3x224x224"
        raise InputError(msg, resolve="correct --input")
    return name, tuple(int(axis) for axis in axes.split("x"))


def entry_yaml(entry: dict[str, object]) -> str:
    """Return a profile's entry as it stands under a variant's ``profiles:``."""
    import yaml  # noqa: PLC0415 - loads only where it is needed

    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=130)
