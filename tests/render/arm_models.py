"""Compare resources with the models of Microsoft's own client libraries for their API versions: run by a Python that has these libraries.

Reads a JSON array of resources from standard input and prints a JSON object: ``findings`` and ``checked`` (types, with how many). What it
finds: properties that the API does not have, or that only it may set; values of another type; words that are none of a closed list's; what
is required and left out; arrays too long or too short. The models come from the specifications that Azure's services are described by.
"""

import enum
import importlib
import json
import re
import sys
import typing
from collections import Counter
from typing import Any

MODELS = {
    "Microsoft.Compute/virtualMachineScaleSets": ("2026-04-01", "compute", "VirtualMachineScaleSet"),
    "Microsoft.ContainerInstance/containerGroups": ("2023-05-01", "containerinstance", "ContainerGroup"),
    "Microsoft.ContainerService/managedClusters": ("2026-08-01", "containerservice", "ManagedCluster"),
    "Microsoft.ContainerService/managedClusters/agentPools": ("2026-08-01", "containerservice", "AgentPool"),
    "Microsoft.Consumption/budgets": ("2024-08-01", "consumption", "Budget"),
    "Microsoft.CostManagement/scheduledActions": ("2025-03-01", "costmanagement", "ScheduledAction"),
    "Microsoft.Insights/actionGroups": ("2023-01-01", "monitor", "ActionGroupResource"),
    "Microsoft.Insights/activityLogAlerts": ("2020-10-01", "monitor", "ActivityLogAlertResource"),
    "Microsoft.Insights/autoscaleSettings": ("2022-10-01", "monitor", "AutoscaleSettingResource"),
    "Microsoft.Insights/metricAlerts": ("2018-03-01", "monitor", "MetricAlertResource"),
    "Microsoft.Network/loadBalancers": ("2026-03-01", "network", "LoadBalancer"),
    "Microsoft.Network/networkSecurityGroups": ("2026-03-01", "network", "NetworkSecurityGroup"),
    "Microsoft.OperationalInsights/workspaces": ("2025-07-01", "loganalytics", "Workspace"),
}
"""Type → the API version that the pinned library speaks, the library below ``azure.mgmt``, its model."""
OF_THE_TEMPLATE = {"type", "apiVersion", "name", "dependsOn", "kind", "resources", "subscriptionId"}
NUMBER, WHOLE = (int, float), (int,)
PLAIN = {
    "str": (str,),
    "int": WHOLE,
    "float": NUMBER,
    "bool": (bool,),
    "duration": (str,),
    "iso-8601": (str,),
    "rfc-1123": (str,),
    "object": (object,),
}
DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?")


class Checker:
    """What is found in one resource."""

    def __init__(self, library: str) -> None:
        self.models = importlib.import_module(f"azure.mgmt.{library}.models")
        self.findings: list[str] = []

    def say(self, path: str, what: str) -> None:
        """Note what is wrong and where."""
        self.findings.append(f"{path}: {what}")

    def model(self, path: str, kind: type, value: Any) -> None:
        """Check an object against a model, of which there are two forms."""
        if not isinstance(value, dict):
            return self.say(path, f"{kind.__name__} is an object, got {value!r}")
        kind = self.narrowed(kind, value)
        return self.old(path, kind, value) if hasattr(kind, "_attribute_map") else self.new(path, kind, value)

    def narrowed(self, kind: type, value: dict[str, Any]) -> type:
        """Return the model for the object's own kind, where the model has several."""
        for attribute, known in getattr(kind, "_subtype_map", {}).items():
            key = kind._attribute_map[attribute]["key"].replace("\\.", ".")  # type: ignore[attr-defined]
            if value.get(key) in known and known[value[key]] != kind.__name__:
                return self.narrowed(getattr(self.models, known[value[key]]), value)
        return kind

    # ------------------------------------------------------------------------------------------- models with an attribute map

    def old(self, path: str, kind: Any, value: dict[str, Any], prefix: str = "") -> None:
        """Check an object; keys such as ``properties.sku`` say that a field lies one level deeper."""
        keys = {item["key"]: (name, item["type"]) for name, item in kind._attribute_map.items() if item["key"]}
        known = {key[len(prefix) :]: found for key, found in keys.items() if key.startswith(prefix)}
        deeper = {re.split(r"(?<!\\)\.", key)[0] for key in known if re.search(r"(?<!\\)\.", key)}
        for key, item in value.items():
            escaped = key.replace(".", "\\.")
            if escaped in deeper:
                self.old(f"{path}.{key}", kind, item, f"{prefix}{escaped}.")
            elif escaped not in known:
                self.say(path, f"{kind.__name__} has no {key!r}")
            else:
                self.field(f"{path}.{key}", kind, *known[escaped], item)
        for key, (name, _) in known.items():
            needed = kind._validation.get(name, {}).get("required") and "." not in key.replace("\\.", "")
            if needed and key.replace("\\.", ".") not in value:
                self.say(path, f"{key} is required")

    def field(self, path: str, kind: Any, name: str, expected: str, value: Any) -> None:
        """Check one field's limits and type."""
        rule = kind._validation.get(name, {})
        if rule.get("readonly") and name not in {"name", "type", "id"}:
            self.say(path, "only Azure sets it")
        if "max_items" in rule and len(value) > rule["max_items"]:
            self.say(path, f"at most {rule['max_items']} items, got {len(value)}")
        if "pattern" in rule and not re.match(rule["pattern"], str(value)):
            self.say(path, f"{value!r} is not of the form {rule['pattern']}")
        if "max_length" in rule and len(value) > rule["max_length"]:
            self.say(path, f"at most {rule['max_length']} letters, got {len(value)}")
        words = self.words(kind, name) if expected in {"str", "[str]"} else None
        self.typed(path, expected, value, words)

    def words(self, kind: Any, name: str) -> set[str] | None:
        """Return the words that a field may hold, as its constructor's annotation tells; None where any."""
        hints = typing.get_args(kind.__init__.__annotations__.get(name)) if hasattr(kind.__init__, "__annotations__") else ()
        text = " ".join(str(hint) for hint in hints)
        named = re.findall(r"_enums\.(\w+)|models\.(\w+)", text)
        for one, other in named:
            found = getattr(self.models, one or other, None)
            if isinstance(found, type) and issubclass(found, enum.Enum):
                return {item.value for item in found}
        return None

    def typed(self, path: str, expected: str, value: Any, words: set[str] | None) -> None:
        """Check a value against a type as an attribute map writes it: ``[X]``, ``{X}``, a plain one, or a model."""
        if expected.startswith("["):
            return self.each(path, value, lambda at, item: self.typed(at, expected[1:-1], item, words))
        if expected.startswith("{"):
            return self.entries(path, value, lambda at, item: self.typed(at, expected[1:-1], item, words))
        if expected not in PLAIN:
            return self.model(path, getattr(self.models, expected), value)
        if expected == "duration" and not DURATION.fullmatch(str(value)):
            self.say(path, f"{value!r} is no duration")
        return self.plain(path, PLAIN[expected], value, words)

    # --------------------------------------------------------------------------------------------- models with annotated fields

    def new(self, path: str, kind: Any, value: dict[str, Any]) -> None:
        """Check an object against a model whose fields carry their name in JSON, their type and who may set them."""
        fields: dict[str, tuple[Any, Any]] = {}
        for base in reversed(kind.__mro__):
            for name, hint in vars(base).get("__annotations__", {}).items():
                if hasattr(vars(base).get(name), "_rest_name_input"):
                    field = vars(base)[name]
                    fields[field._rest_name_input or name] = (field, self.resolved(base, hint))
        for key, item in value.items():
            if key not in fields:
                self.say(path, f"{kind.__name__} has no {key!r}")
                continue
            field, hint = fields[key]
            if field._visibility == ["read"]:
                self.say(f"{path}.{key}", "only Azure sets it")
            self.hinted(f"{path}.{key}", hint, item)
        for key, (field, hint) in fields.items():
            if type(None) not in typing.get_args(hint) and key not in value and field._visibility != ["read"]:
                self.say(path, f"{key} is required")

    @staticmethod
    def resolved(base: type, hint: Any) -> Any:
        """Return an annotation with the names in it looked up where the model stands."""
        module = sys.modules[base.__module__]
        package = importlib.import_module(base.__module__.rsplit(".", 1)[0])
        names = {**vars(typing), **vars(module), "_models": package, "_enums": package, "_types": package}
        names |= {"_enums": importlib.import_module(f"{package.__name__}._enums")}
        holder = type("Holder", (), {"__annotations__": {"field": hint}})
        return typing.get_type_hints(holder, names)["field"]

    def hinted(self, path: str, hint: Any, value: Any) -> None:
        """Check a value against an annotation."""
        origin, inside = typing.get_origin(hint), [item for item in typing.get_args(hint) if item is not type(None)]
        if origin is list:
            return self.each(path, value, lambda at, item: self.hinted(at, inside[0], item))
        if origin is dict:
            return self.entries(path, value, lambda at, item: self.hinted(at, inside[1], item))
        if inside and origin is not typing.Literal:
            lists = [item for item in inside if isinstance(item, type) and issubclass(item, enum.Enum)]
            return self.hinted(path, lists[0] if lists else inside[0], value)
        if hasattr(hint, "_attribute_map") or hasattr(hint, "_deserialize"):
            return self.model(path, hint, value)
        closed = inside or (list(hint) if isinstance(hint, type) and issubclass(hint, enum.Enum) else None)
        words = {str(getattr(item, "value", item)) for item in closed} if closed else None
        kinds = (str,) if words else {str: (str,), int: WHOLE, float: NUMBER, bool: (bool,)}.get(hint, (object,))
        return self.plain(path, kinds, value, words)

    # ----------------------------------------------------------------------------------------------------------------- values

    def each(self, path: str, value: Any, check: typing.Callable[[str, Any], None]) -> None:
        """Check every item of an array."""
        if not isinstance(value, list):
            return self.say(path, f"an array is expected, got {value!r}")
        for place, item in enumerate(value):
            check(f"{path}[{place}]", item)
        return None

    def entries(self, path: str, value: Any, check: typing.Callable[[str, Any], None]) -> None:
        """Check every value of an object whose keys are free."""
        if not isinstance(value, dict):
            return self.say(path, f"an object is expected, got {value!r}")
        for key, item in value.items():
            check(f"{path}.{key}", item)
        return None

    def plain(self, path: str, kinds: tuple[type, ...], value: Any, words: set[str] | None) -> None:
        """Check a value that has no parts."""
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds and object not in kinds):
            self.say(path, f"{' or '.join(kind.__name__ for kind in kinds)} is expected, got {value!r}")
        elif words is not None and value not in words:
            self.say(path, f"{value!r} is none of {', '.join(sorted(words))}")


def check(resource: dict[str, Any]) -> list[str]:
    """Return what is wrong with one resource."""
    kind, where = resource["type"], f"{resource['type']} {resource['name']}"
    if kind == "Microsoft.Resources/deployments":
        return [finding for inner in resource["resources"] for finding in check(inner)]
    if kind not in MODELS:
        return [f"{where}: no model of this type is known here"]
    version, library, model = MODELS[kind]
    if resource["apiVersion"] != version:
        return [f"{where}: API version {resource['apiVersion']}, and the model is of {version}"]
    checker = Checker(library)
    body = {key: value for key, value in resource.items() if key not in OF_THE_TEMPLATE}
    checker.model(where, getattr(checker.models, model), body)
    return checker.findings


def count(resources: list[dict[str, Any]]) -> Counter[str]:
    """Return how many resources of each type there are, with those deployed within others."""
    inner = [item for resource in resources for item in resource.get("resources", [])]
    return Counter(resource["type"] for resource in (*resources, *inner))


if __name__ == "__main__":
    given = json.load(sys.stdin)
    sys.stdout.write(
        json.dumps({"findings": [finding for item in given for finding in check(item)], "checked": count(given)}) + "\n"
    )
