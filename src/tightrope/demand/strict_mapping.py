"""Mappings of a YAML file whose keys are all known, and what is said of those that are not as they should be."""

from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from tightrope.base.errors import InputError, Where, find_near_names
from tightrope.base.units import BYTES, SECONDS
from tightrope.demand.yaml_document import Document

Content = TypeVar("Content", bound=BaseModel)
MOST_SHOWN = 60
"""Characters of a wrong value that an error shows."""


class Strict(BaseModel):
    """A mapping with known keys only: a key that is not known is an error with near names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
    open_keys: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        """Refuse the first unknown key, and say what a mapping should have been."""
        known = [stated.alias or name for name, stated in cls.model_fields.items()]
        if not isinstance(data, dict):
            context = {"got": repr(data)[:60], "keys": ", ".join(known)}
            kind, message = "mapping", "got {got}, expected a mapping with the keys {keys}"
            raise PydanticCustomError(kind, message, context)
        for key, value in data.items():
            if key not in known and not (cls.open_keys and (isinstance(value, list) or not find_near_names(key, known))):
                near = find_near_names(key, known) or known
                kind, message = "unknown_key", "unknown key {key}"
                raise PydanticCustomError(kind, message, {"key": repr(key), "name": key, "resolve": f"use {' or '.join(near)}"})
        return data


def validated(model: type[Content], document: Document, reference: str) -> Content:
    """Return a document's checked content; the error tells the first problem in full and where the others are.

    ``reference`` is the page that lists every key.
    """
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        found = [_problem(document, detail, reference) for detail in error.errors()]
    problems = sorted(found, key=lambda problem: problem[0].line or 0)
    where, what, resolve = problems[0]
    for other, also, _ in problems[1:6]:
        what += f"\n  also {other}: {also}"
    raise InputError(what, resolve=resolve, where=where)


def _stated(document: Document, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the part of a location that the document has: what follows names one of several forms that a value may take."""
    at = document.value
    for place, part in enumerate(location):
        if isinstance(at, dict) and part in at:
            at = at[str(part)]
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            at = at[part]
        else:
            return location[:place]
    return location


def _problem(document: Document, detail: ErrorDetails, reference: str) -> tuple[Where, str, str]:
    """Return where, what and the remedy of one pydantic error."""
    location, context = _stated(document, detail["loc"]), detail.get("ctx", {})
    name = ".".join(map(str, location)) or "the file"
    if detail["type"] == "unknown_key":
        return document.where(*location, context["name"]), f"{name}: {detail['msg']}", str(context["resolve"])
    if detail["type"] == "missing":
        missing = detail["loc"]
        return document.where(*missing), f"{'.'.join(map(str, missing))} is missing", f"add `{missing[-1]}:`"
    message = detail["msg"].removeprefix("Value error, ")
    if not message.startswith(("got", "no ", "expected")):
        got = repr(detail["input"])
        message = f"got {got if len(got) <= MOST_SHOWN else got[:MOST_SHOWN] + ' …'}: {message[:1].lower()}{message[1:]}"
    return (
        document.where(*location),
        f"{name}: {message}",
        f"correct `{name}`; {reference} lists every key",
    )


def editors_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return a file's JSON schema, for editors."""
    found = model.model_json_schema()
    for entry in found["$defs"].values():
        for stated in entry["properties"].values():
            _state_unit(stated)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found | {"title": title}


def _state_unit(stated: dict[str, Any]) -> None:
    """Write a quantity's default with its unit, as a file would."""
    value = stated.get("default")
    if stated.get("type") != "string" or not isinstance(value, float):
        return
    unit = stated["examples"][0].split()[-1]
    if value and unit in BYTES:
        unit = next(unit for unit in ("TB", "GB", "GiB", "MiB", "MB", "kB", "B") if value % BYTES[unit] == 0.0)
        value /= BYTES[unit]
    elif unit == "s" and value and value % SECONDS["d"] == 0.0:
        unit, value = "d", value / SECONDS["d"]
    stated["default"] = f"{value:g} {unit}"
