"""A mapping of a ``workload.yaml`` whose keys are all known."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from tightrope.base.errors import near_names


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
            if key not in known and not (cls.open_keys and (isinstance(value, list) or not near_names(key, known))):
                near = near_names(key, known) or known
                kind, message = "unknown_key", "unknown key {key}"
                raise PydanticCustomError(kind, message, {"key": repr(key), "name": key, "resolve": f"use {' or '.join(near)}"})
        return data
