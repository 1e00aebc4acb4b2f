"""Enough of Azure Resource Manager to see what a template would deploy: its expressions, loops and conditions, by Microsoft's reference.

What it does not know is an error, never a guess. It deploys nothing and knows no resource: ``arm_models.py`` does.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeAlias

Json: TypeAlias = Any
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[()\[\].,]))", re.DOTALL)
TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "int": int, "array": list, "object": dict, "bool": bool}
GROUP_ID = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/example"
SUBSCRIPTION_ID = GROUP_ID.rsplit("/", 2)[0]


class Template:
    """A template with its parameters' values."""

    def __init__(self, template: Json, values: Mapping[str, Json]) -> None:
        self.source = template
        self.parameters = _given(template["parameters"], values)
        self.loops: dict[str, int] = {}
        self.loop = ""
        self.bound: list[tuple[str, Json]] = []
        self.variables: Json = {}
        plain = {name: value for name, value in template.get("variables", {}).items() if name != "copy"}
        for name, value in plain.items():
            self.variables[name] = self.value(value)
        for copy in template.get("variables", {}).get("copy", []):
            self.variables[copy["name"]] = self.repeated(copy)

    def resources(self) -> list[Json]:
        """Return what would be deployed, each resource evaluated."""
        return [resource for item in self.source["resources"] for resource in self.instances(item)]

    def outputs(self) -> dict[str, Json]:
        """Return the outputs' values."""
        return {name: self.value(item["value"]) for name, item in self.source.get("outputs", {}).items()}

    def instances(self, item: Json) -> list[Json]:
        """Return a resource as often as its loop and its condition say."""
        body = {key: value for key, value in item.items() if key not in {"copy", "condition"}}
        if "copy" not in item:
            return [self.deployed(body)] if self.value(item.get("condition", True)) else []
        self.loop, found = item["copy"]["name"], []
        for place in range(self.value(item["copy"]["count"])):
            self.loops = {"": place, self.loop: place}
            if self.value(item.get("condition", True)):
                found.append(self.deployed(body))
        self.loops = {}
        return found

    def deployed(self, body: Json) -> Json:
        """Return one resource, evaluated; what is deployed within it too."""
        if body["type"] != "Microsoft.Resources/deployments":
            return self.value(body)
        properties = body["properties"]
        assert properties["expressionEvaluationOptions"] == {"scope": "inner"}, "an inner template sees its own parameters alone"
        values = {name: self.value(item["value"]) for name, item in properties["parameters"].items()}
        outer = self.value({key: value for key, value in body.items() if key != "properties"})
        return {**outer, "resources": Template(properties["template"], values).resources()}

    def repeated(self, copy: Json) -> list[Json]:
        """Return what a loop over a property or variable gives."""
        kept, found = dict(self.loops), []
        for place in range(self.value(copy["count"])):
            self.loops = {**kept, copy["name"]: place}
            found.append(self.value(copy["input"]))
        self.loops = kept
        return found

    def value(self, item: Json) -> Json:
        """Return a part of the template with its expressions evaluated; what is null is left out of objects."""
        if isinstance(item, list):
            return [self.value(part) for part in item]
        if isinstance(item, dict):
            plain = {key: value for key, value in item.items() if key != "copy"}
            found = {self.value(key): self.value(value) for key, value in plain.items()}
            found |= {copy["name"]: self.repeated(copy) for copy in item.get("copy", [])}
            return {key: value for key, value in found.items() if value is not None}
        if isinstance(item, str) and item.startswith("[") and item.endswith("]"):
            return item[1:] if item.startswith("[[") else _Expression(self, item[1:-1]).whole()
        return item

    def call(self, name: str, arguments: list[Callable[[], Json]]) -> Json:
        """Return what a function gives; its arguments are evaluated where it needs them."""
        if name == "if":
            return arguments[1]() if arguments[0]() else arguments[2]()
        if name == "map":
            return self.mapped(arguments[0](), arguments[1])
        given = [argument() for argument in arguments]
        scoped: dict[str, Callable[..., Json]] = {
            "parameters": lambda key: self.parameters[key],
            "variables": lambda key: self.variables[key],
            "copyIndex": lambda key="": self.loops[key],
            "lambdaVariables": lambda key: next(value for known, value in reversed(self.bound) if known == key),
        }
        return (scoped.get(name) or FUNCTIONS[name])(*given)

    def mapped(self, items: list[Json], body: Callable[[], Json]) -> list[Json]:
        """Return what a lambda makes of each item: it binds its own name to what was bound last."""
        found = []
        for item in items:
            self.bound.append(("", item))
            found.append(body())
            self.bound.pop()
        return found


class _Expression:
    """One expression, read and evaluated from left to right."""

    def __init__(self, template: Template, text: str) -> None:
        self.template, self.text, self.at = template, text, 0

    def whole(self) -> Json:
        """Return its value; it must end where the text does."""
        found = self.read()()
        assert not self.text[self.at :].strip(), f"left over: {self.text[self.at :]!r} of {self.text!r}"
        return found

    def take(self, expected: str = "") -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.at)
        assert match, f"not understood: {self.text[self.at :]!r}"
        kind, word = str(match.lastgroup), match[match.lastgroup or 0]
        assert expected in {"", word}, f"expected {expected!r}, got {word!r} in {self.text!r}"
        self.at = match.end()
        return kind, word

    def peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match[match.lastgroup or 0] if match and match.lastgroup == "sign" else ""

    def read(self) -> Callable[[], Json]:
        """Return how to evaluate the next value with what is asked of it (``.name``, ``[index]``)."""
        kind, word = self.take()
        if kind == "text":
            made = self.constant(word[1:-1].replace("''", "'"))
        elif kind == "number":
            made = self.constant(int(word))
        else:
            assert kind == "name", f"not a value: {word!r} in {self.text!r}"
            made = self.called(word)
        while self.peek() in {".", "["}:
            made = self.asked(made)
        return made

    @staticmethod
    def constant(value: Json) -> Callable[[], Json]:
        return lambda: value

    def called(self, name: str) -> Callable[[], Json]:
        arguments: list[Callable[[], Json]] = []
        self.take("(")
        while self.peek() != ")":
            arguments.append(self.read())
            if self.peek() == ",":
                self.take(",")
        self.take(")")
        if name == "lambda":
            return self.closure(arguments)
        return lambda: self.template.call(name, arguments)

    def closure(self, arguments: list[Callable[[], Json]]) -> Callable[[], Json]:
        key, body = arguments[0](), arguments[-1]

        def run() -> Json:
            self.template.bound.append((key, self.template.bound[-1][1]))
            try:
                return body()
            finally:
                self.template.bound.pop()

        return run

    def asked(self, of: Callable[[], Json]) -> Callable[[], Json]:
        if self.take()[1] == ".":
            name = self.take()[1]
            return lambda: of()[name]
        key = self.read()
        self.take("]")
        return lambda: of()[key()]


def _given(declared: Json, values: Mapping[str, Json]) -> dict[str, Json]:
    """Return each parameter's value; fail where one is unknown, missing or not as it is declared."""
    assert set(values) <= set(declared), f"no such parameter: {set(values) - set(declared)}"
    found: dict[str, Json] = {}
    for name, rule in declared.items():
        assert name in values or "defaultValue" in rule, f"parameter {name} has no value"
        value = found[name] = values.get(name, rule.get("defaultValue"))
        assert isinstance(value, TYPES[rule["type"]]), f"parameter {name} is to be {rule['type']}: {value!r}"
        assert value in rule.get("allowedValues", [value]), f"parameter {name}: {value!r} is not allowed"
        size = value if isinstance(value, int) else len(value)
        least, most = (rule.get(f"{side}{'Value' if isinstance(value, int) else 'Length'}", size) for side in ("min", "max"))
        assert least <= size <= most, f"parameter {name}: {value!r} is not within its limits"
    return found


def _union(*parts: Json) -> Json:
    """Return arrays without what stands twice, or objects merged into one another."""
    if isinstance(parts[0], list):
        return reduce(
            lambda known, item: known if item in known else [*known, item], [item for part in parts for item in part], []
        )
    return reduce(_merged, parts, {})


def _merged(one: Json, other: Json) -> Json:
    both = {
        key: _merged(one[key], value)
        for key, value in other.items()
        if isinstance(value, dict) and isinstance(one.get(key), dict)
    }
    return {**one, **other, **both}


def _concat(*parts: Json) -> Json:
    if all(isinstance(part, list) for part in parts):
        return [item for part in parts for item in part]
    assert all(isinstance(part, str) for part in parts), f"concat of {parts!r}"
    return "".join(parts)


def _resource_id(kind: str, *names: str) -> str:
    space, *types = kind.split("/")
    assert len(types) == len(names), f"{kind} takes {len(types)} names, got {names!r}"
    path = "".join(f"/{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"{GROUP_ID}/providers/{space}{path}"


def _format(pattern: str, *values: Json) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: str(values[int(match[1])]), pattern)


FUNCTIONS: dict[str, Callable[..., Json]] = {
    "add": lambda one, other: one + other,
    "and": lambda *parts: all(parts),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "concat": _concat,
    "createArray": lambda *parts: list(parts),
    "createObject": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "dateTimeAdd": lambda start, span: f"{start}+{span}",
    "div": lambda one, other: one // other,
    "empty": lambda item: not item,
    "equals": lambda one, other: one == other,
    "format": _format,
    "greater": lambda one, other: one > other,
    "length": len,
    "max": max,
    "min": min,
    "mul": lambda one, other: one * other,
    "not": lambda item: not item,
    "null": lambda: None,
    "range": lambda start, count: list(range(start, start + count)),
    "reference": lambda name, _version: {"clientId": f"client of {name}"},
    "resourceGroup": lambda: {"location": "eastus", "id": GROUP_ID},
    "resourceId": _resource_id,
    "string": lambda item: item if isinstance(item, str) else json.dumps(item, separators=(",", ":")),
    "subscription": lambda: {"id": SUBSCRIPTION_ID, "subscriptionId": SUBSCRIPTION_ID.rsplit("/", 1)[1]},
    "take": lambda item, count: item[:count],
    "true": lambda: True,
    "union": _union,
}
"""What each function of the template language does (Microsoft documentation, ARM template functions, 2026); those that deploying alone
knows give text that stands for the value."""


def missing_targets(resources: list[Json]) -> set[str]:
    """Return the ids below the template's own resource group that resources name and that nothing deploys."""
    there = {GROUP_ID}
    for item in resources:
        own = _resource_id(item["type"], *item["name"].split("/"))
        there.add(own)
        parts = item.get("properties", {}).items()
        there |= {
            f"{own}/{kind}/{part['name']}" for kind, found in parts if isinstance(found, list) for part in found if "name" in part
        }
    return set(_named(resources)) - there


def _named(item: Json) -> list[str]:
    """Return all ids of the own group that stand anywhere in a value."""
    if isinstance(item, dict):
        return [text for part in item.values() for text in _named(part)]
    if isinstance(item, list):
        return [text for part in item for text in _named(part)]
    return [item] if isinstance(item, str) and item.startswith(GROUP_ID) else []
