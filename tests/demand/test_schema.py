"""The JSON schema that editors use."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from tightrope.demand import schema

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "workload.schema.json"


def test_the_published_schema_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == schema.schema_page()


def test_quantities_show_their_unit() -> None:
    scaling = schema.workload_schema()["$defs"]["ScalingSpec"]["properties"]
    assert scaling["machine_start"]["default"] == "120 s"
    assert scaling["machine_start"]["type"] == "string"


def test_no_mapping_takes_unknown_keys_but_where() -> None:
    definitions = schema.workload_schema()["$defs"]
    assert [name for name, entry in definitions.items() if entry["additionalProperties"] is not False] == ["PlacesSpec"]


@pytest.mark.parametrize(
    "model", [entry for entry in vars(schema).values() if isinstance(entry, type) and issubclass(entry, BaseModel)]
)
def test_every_mapping_says_what_it_is(model: type[BaseModel]) -> None:
    assert model.__doc__
