"""A YAML file as plain data that remembers the line of every value.

Values follow YAML 1.2's core schema: ``22:00`` and ``on`` stay text. Duplicate keys, tags, and what would fill the memory
(large files, deep nesting, multiplying aliases) are errors with their line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from tightrope.base.errors import InputError, Where, build_unknown_name_error

MAX_BYTES = 5_000_000
MAX_VALUES = 200_000
"""Most values in a file, aliases counted as often as they stand for something."""
MAX_DEPTH = 40

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Location: TypeAlias = tuple[str | int, ...]

_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class Document:
    """A file's value and the line (from 1) of each part of it, by its location from the root."""

    path: Path
    value: Value = None
    lines: dict[Location, int] = field(default_factory=dict)

    def where(self, *location: str | int) -> Where:
        """Return the place of the nearest enclosing part that has a line."""
        while location and location not in self.lines:
            location = location[:-1]
        return Where(self.path, self.lines.get(location))


def read_document(path: Path, first: str = "`tightrope init` writes a first workload") -> Document:
    """Return a YAML file's content; raise ``InputError`` with its line for everything that is not one plain document.

    ``first`` says where to get such a file from.
    """
    document = Document(path)
    text = _read_text(path, first)
    try:
        builder = _Builder(document, iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
        document.value = builder.document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        what = f"not valid YAML: {error.problem or error}"
        raise InputError(what, resolve="correct the syntax", where=Where(path, line)) from error
    except yaml.YAMLError as error:
        what = f"not valid YAML: {str(error).splitlines()[0]}"
        raise InputError(what, resolve="save the file as UTF-8 text", where=Where(path)) from error
    return document


def _read_text(path: Path, first: str) -> str:
    """Return the file as text, refused by its size before it is read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            what = f"the file has {path.stat().st_size / 1e6:,.0f} MB, expected at most {MAX_BYTES / 1e6:g} MB"
            raise InputError(what, resolve="give a workload.yaml; traces are files of their own", where=Where(path))
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not UTF-8 text"
        raise InputError(what, resolve="save the file as UTF-8 text", where=Where(path)) from error
    except (OSError, ValueError) as error:
        what = f"the file cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(what, resolve=f"correct the path; {first}", where=Where(str(path))) from error


def check_name(name: str, kind: str, known: Iterable[str], where: Where) -> None:
    """Refuse a name that is not known."""
    known = list(known)
    if name not in known:
        raise build_unknown_name_error(name, kind=kind, known=known, where=where)


def scalar(text: str) -> Value:
    """Return what an unquoted YAML 1.2 scalar means.

    >>> scalar("7.0e9"), scalar("22:00"), scalar("true"), scalar("on")
    (7000000000.0, '22:00', True, 'on')
    """
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INT.fullmatch(text) and len(text) < 300:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Builder:
    """Builds values from parser events, never deeper than ``MAX_DEPTH`` nor more than ``MAX_VALUES``."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self.out, self.events, self.count = document, events, 0
        self.anchors: dict[str, tuple[Value, int]] = {}

    def document(self) -> Value:
        """Return the only document of the stream, None where it is empty."""
        next(self.events)
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            return None
        value = self.value(next(self.events), ())
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.error(after, "a second document begins", "keep one document in the file")
        return value

    def error(self, event: yaml.Event, what: str, resolve: str) -> InputError:
        """Return the error at an event's line."""
        return InputError(what, resolve=resolve, where=Where(self.out.path, event.start_mark.line + 1))

    def value(self, event: yaml.Event, location: Location) -> Value:
        """Return the value that begins with ``event``; remember its line and, for aliases, how many values it holds."""
        self.out.lines.setdefault(location, event.start_mark.line + 1)
        before = self.count
        self.count += 1
        if self.count > MAX_VALUES or len(location) > MAX_DEPTH:
            raise self.error(
                event, "the file holds too many or too deeply nested values", "write it out plainly, without aliases"
            )
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if not isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) or event.tag not in {None, "!"}:
            raise self.error(event, f"the tag {getattr(event, 'tag', '')} is not used here", "remove the tag")
        built = self.plain(event, location)
        if event.anchor is not None:
            self.anchors[str(event.anchor)] = (built, self.count - before)
        return built

    def plain(self, event: yaml.Event, location: Location) -> Value:
        """Return a scalar, list or mapping."""
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else scalar(event.value)
        return self.sequence(location) if isinstance(event, yaml.SequenceStartEvent) else self.mapping(location)

    def alias(self, event: yaml.AliasEvent) -> Value:
        """Return what the alias stands for, counted again."""
        if event.anchor not in self.anchors:
            raise self.error(
                event, f"the alias *{event.anchor} stands for nothing that is complete", "define the anchor before it"
            )
        value, size = self.anchors[event.anchor]
        self.count += size
        return value

    def sequence(self, location: Location) -> Value:
        """Return a list."""
        items: list[Value] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*location, len(items))))
        return items

    def mapping(self, location: Location) -> Value:
        """Return a mapping; keys are text, each once."""
        items: dict[str, Value] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.error(event, "a key is not plain text", "write `key: value`")
            if event.value in items:
                first = self.out.lines[(*location, event.value)]
                raise self.error(event, f"the key {event.value!r} appears twice, first in line {first}", "remove one of them")
            self.out.lines[(*location, event.value)] = event.start_mark.line + 1
            items[event.value] = self.value(next(self.events), (*location, event.value))
        return items
