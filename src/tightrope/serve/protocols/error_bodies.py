"""What is wrong with a body, in plain words with the field; and how each protocol says no."""

import re

import msgspec

from tightrope.serve.refusals import Forbidden, Malformed, NotFound, RequestRefusal, TooMany, Unauthenticated

KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
EXPECTED = re.compile(
    r"Expected `(?P<expected>[^`]+)`(?: (?P<bound>[^,]+?))?(?:, got `?(?P<got>[^`]+?)`?)?(?: - at `(?P<where>[^`]+)`)?$"
)
ENUM = "Invalid enum value "
MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`(?: - at `(?P<where>[^`]+)`)?$")
AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>[^`]+)`)?$", re.DOTALL)


def malformed(error: Exception) -> Malformed:
    """Return the refusal for what msgspec did not read.

    >>> malformed(msgspec.ValidationError("Expected `str | array`, got `int` - at `$.input`")).message
    'input: a string or a list is expected, not a whole number'
    >>> malformed(msgspec.ValidationError("Object missing required field `model`")).message
    'model: missing'
    >>> malformed(msgspec.DecodeError("Input data was truncated")).message
    'the body is no JSON: Input data was truncated'
    """
    if isinstance(error, RecursionError):
        return Malformed("the body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Malformed("the body is not UTF-8")
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Malformed(f"the body is no JSON: {text.removeprefix('JSON is malformed: ')}")
    if found := MISSING.match(text):
        where = f"{_field(found['where'])}.{found['field']}".lstrip(".")
        return Malformed(f"{where}: missing", parameter=where)
    found = EXPECTED.match(text)
    if found is None:
        said = AT.match(text)
        where = _field(said["where"]) if said else ""
        what = said["what"] if said else text
        if what.startswith(ENUM):
            what = f"{what.removeprefix(ENUM)} is not taken"
        return Malformed(f"{where or 'the body'}: {what}", parameter=where or None)
    where = _field(found["where"])
    bound = f" {found['bound']}" if found["bound"] else ""
    expected = f"{_kinds(found['expected'])}{bound} is expected"
    got = f", not {_kinds(found['got'])}" if found["got"] in KINDS else ""
    return Malformed(f"{where or 'the body'}: {expected}{got}", parameter=where or None)


def _field(where: str | None) -> str:
    """Return msgspec's ``$.inputs[0]`` as a client would write it."""
    return (where or "").removeprefix("$").lstrip(".")


def _kinds(names: str) -> str:
    """Return what msgspec calls types in words."""
    return " or ".join(KINDS.get(name, name) for name in names.split(" | "))


def openai_error(refusal: RequestRefusal) -> bytes:
    """Return a refusal as OpenAI writes it (``error`` with ``message``, ``type``, ``param``, ``code``; API reference of 2026-11)."""
    return msgspec.json.encode(
        {
            "error": {
                "message": refusal.message,
                "type": _openai_type(refusal),
                "param": refusal.parameter,
                "code": "model_not_found" if isinstance(refusal, NotFound) and refusal.parameter == "model" else refusal.code,
            }
        }
    )


def _openai_type(refusal: RequestRefusal) -> str:
    """Return the kind of error, which OpenAI's clients show."""
    if isinstance(refusal, Unauthenticated):
        return "authentication_error"
    if isinstance(refusal, Forbidden):
        return "permission_error"
    if isinstance(refusal, TooMany):
        return "rate_limit_error"
    return "invalid_request_error" if refusal.status < 500 else "server_error"


def oip_error(refusal: RequestRefusal) -> bytes:
    """Return a refusal as the Open Inference Protocol writes it."""
    where = f"{refusal.parameter}: " if refusal.parameter and not refusal.message.startswith(refusal.parameter) else ""
    return msgspec.json.encode({"error": f"{where}{refusal.message}"})
