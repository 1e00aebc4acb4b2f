"""Pieces of a Markdown page: words of a user that cannot become markup, and tables."""

import re
from collections.abc import Iterable, Sequence

from tightrope.render import formats

_CALLS = re.compile(r"([@#])")
"""GitHub makes mentions and references even of what a backslash escapes; an empty comment parts them (github/markup, issue 1168)."""
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~@&])")


def escape_text(text: str) -> str:
    r"""Return a text on one line in which nothing is markup, a link, a mention or a cell's end.

    >>> escape_text("a|b <img> @me")
    'a\\|b \\<img\\> \\@<!-- -->me'
    >>> escape_text("int8-g4dn-xlarge, 3 × g4dn.xlarge")
    'int8-g4dn-xlarge, 3 × g4dn.xlarge'
    """
    plain = formats.strip_controls(text)
    escaped = re.sub(r"(?<=\w)\\_(?=\w)", "_", _MARKUP.sub(r"\\\1", plain))
    return _CALLS.sub(r"\1<!-- -->", escaped)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, of cells that are Markdown already; a head that begins with ``>`` stands to the right."""
    rule = ["---:" if head.startswith(">") else "---" for head in heads]
    lines = [[head.removeprefix(">") for head in heads], rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(*parts: str) -> str:
    """Return the parts that say something, an empty line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip("\n")) + "\n"
