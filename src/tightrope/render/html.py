"""HTML whose every plain string is escaped: only what these functions built is markup."""

import html
from collections.abc import Iterable, Sequence

from tightrope.render import formats

VOID = frozenset({"meta"})


class Html(str):
    """Markup that is safe to insert as it stands."""

    __slots__ = ()


def raw(markup: str) -> Html:
    """Return markup of our own (a style sheet, a drawn chart), trusted as it is."""
    return Html(markup)


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """Return an element; plain children and attribute values are escaped, ``class_`` and ``aria_label`` lose or turn their ``_``.

    >>> tag("p", "a < b", tag("b", "!"), class_="x")
    '<p class="x">a &lt; b<b>!</b></p>'
    """
    said = "".join(f' {key.strip("_").replace("_", "-")}="{_escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>") if name in VOID else Html(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """Return the children one after the other, plain text escaped."""
    return Html("".join(child if isinstance(child, Html) else _escape(child) for child in children))


def _escape(text: str) -> str:
    """Return a user's text as HTML text; control characters are shown as such, a figure keeps its per cent beside it."""
    return html.escape(formats.strip_controls(text)).replace(" %", "\N{NO-BREAK SPACE}%")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str = "") -> Html:
    """Return a table with its caption; the first cell of a row names it, a head that starts with ``>`` is of figures.

    On a phone a table of class ``stack`` shows each row as a card, so each cell carries its head.
    """
    names = [head.removeprefix(">") for head in heads]
    kinds = ["number" if head.startswith(">") else "" for head in heads]
    top = [tag("th", name, scope="col", class_=kind) for name, kind in zip(names, kinds, strict=True)]
    body = [tag("tr", *_cells(row, names, kinds)) for row in rows]
    inner = tag("table", tag("caption", caption), tag("thead", tag("tr", *top)), tag("tbody", *body), class_=class_)
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cells(row: Sequence[str], names: Sequence[str], kinds: Sequence[str]) -> Iterable[Html]:
    """Yield the cells of one row."""
    for index, (cell, name, kind) in enumerate(zip(row, names, kinds, strict=True)):
        attributes = {"scope": "row"} if index == 0 else {}
        yield tag("td" if index else "th", cell, class_=kind, data_label=name, **attributes)


def listing(items: Iterable[str]) -> Html:
    """Return a list."""
    return tag("ul", *(tag("li", item) for item in items))
