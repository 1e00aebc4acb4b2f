"""Templates whose every figure and text is written as a literal of the target's language, so that no text of a user can become code.

A template stands beside the renderer that fills it (``<target>/*.j2``), in the target's own language, with ``<< value >>`` for a value,
``<% if … %>`` for a step and ``<# … #>`` for a remark: delimiters that HCL, YAML, JSON and PromQL do not use. What ``<< … >>`` shows is
always a whole literal (text comes in quotes), so texts are put together in Python and not in the template. A file that needs no value
is no template: it lies there as it is to be written (``static``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal, TypeAlias

from tightrope.base.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment

Language: TypeAlias = Literal["hcl", "yaml", "json"]
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def fill(folder: str, name: str, language: Language, values: Mapping[str, object]) -> str:
    """Return the template ``name`` of the folder ``render/<folder>`` with its values; raise ``InputError`` where one cannot be written."""
    return _environment(folder, language).get_template(name).render(values)


def static(folder: str, name: str) -> str:
    """Return a file of the folder ``render/<folder>`` as it is."""
    return resources.files("tightrope.render").joinpath(folder, name).read_text(encoding="utf-8")


@cache
def _environment(folder: str, language: Language) -> "Environment":
    """Return the environment of one folder and language; a value that is not given is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # loads only where something is rendered

    return Environment(
        loader=FunctionLoader(lambda name: static(folder, name)),
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - ``literal`` writes every value, which is stricter
        finalize=LITERALS[language],
    )


def yaml_literal(value: object) -> str:
    r"""Return a value as JSON writes it, which YAML reads the same.

    >>> print(yaml_literal('a: "b"'))
    "a: \"b\""
    >>> yaml_literal(True), yaml_literal(None), yaml_literal([1, 2.5]), yaml_literal(1e-7)
    ('true', 'null', '[1, 2.5]', '1.0e-07')
    """
    _check(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # YAML 1.1 takes a number with an exponent for a text, unless it has a point.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def json_file(value: object) -> str:
    """Return a value as a JSON file, indented: Terraform's ``*.tfvars.json`` holds no templates, so a text is what it says."""
    _check(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def hcl_literal(value: object) -> str:
    """Return a value as Terraform writes it: JSON, in which a text holds no template.

    >>> print(hcl_literal("${file('x')} %{if} $"))
    "$${file('x')} %%{if} $"
    """
    return yaml_literal(value).replace("${", "$${").replace("%{", "%%{")


LITERALS = {"hcl": hcl_literal, "yaml": yaml_literal, "json": yaml_literal}


def _check(value: object) -> None:
    """Refuse control characters and lone surrogates, which the targets write differently or not at all."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, Mapping):
        _check([*value, *value.values()])
    elif isinstance(value, Sequence):
        for item in value:
            _check(item)


def check_text(text: str) -> None:
    """Raise ``InputError`` where a text holds what no target can write."""
    found = _CONTROL.search(text)
    if found is None and text.isascii():
        return
    bad = found.group() if found else next((letter for letter in text if "\ud800" <= letter <= "\udfff"), "")
    if bad:
        msg = f"a name of the plan cannot be written to a file: {text[:40]!r} holds the character {bad!r}"
        raise InputError(msg, resolve="rename it in the workload and plan again")
