"""pydantic classes as structural schemas, on made-up classes."""

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from dto_jobs.cluster_names import QualifiedName, Quantity
from dto_jobs.rules import Agreement, Rule
from dto_jobs.settings import Distinct, Named, Settings
from dto_operator.structural_schema import UnsupportedFieldError, structural


class Inner(Settings):
    """Within."""

    name: str = "n"
    """Its name."""
    depth: int = Field(default=1, ge=0)
    """Its depth."""


class Outer(Settings):
    """Around."""

    rules: ClassVar[tuple[Agreement, ...]] = (Rule("say why", lambda outer: outer.required != "why", "true"),)

    required: str = Field(min_length=1, pattern="^x")
    """Two
    lines."""
    choice: Literal["a", "b"] = "a"
    """A choice."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """A share."""
    absent: int | None = None
    """Absent means none."""
    inner: Inner = Inner()
    """A group."""
    deep: Inner = Inner(depth=3)
    """A group with a default of its own."""
    pair: tuple[float, float] = (0.9, 0.98)
    """Two numbers."""
    names: Distinct[str] = ("a",)
    """No name twice."""
    things: Named[Inner] = ()
    """No name twice."""
    free: dict[str, Any] = Field(default={})
    """Anything."""
    amounts: dict[QualifiedName, Quantity] = Field(default={}, max_length=4)
    """Amounts."""
    never: Literal[False] = False
    """Never."""


FIELDS = structural(Outer)["properties"]


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("required", {"type": "string", "description": "Two lines.", "minLength": 1, "pattern": "^x"}),
        ("choice", {"type": "string", "description": "A choice.", "default": "a", "enum": ["a", "b"]}),
        ("share", {"type": "number", "description": "A share.", "default": 0.5, "minimum": 0, "maximum": 1,
                   "exclusiveMinimum": True, "exclusiveMaximum": True}),
        ("absent", {"type": "integer", "description": "Absent means none."}),
        ("pair", {"type": "array", "description": "Two numbers.", "default": [0.9, 0.98], "minItems": 2, "maxItems": 2,
                  "items": {"type": "number"}}),
        ("names", {"type": "array", "description": "No name twice.", "default": ["a"], "items": {"type": "string"},
                   "x-kubernetes-list-type": "set"}),
        ("free", {"type": "object", "description": "Anything.", "default": {}, "x-kubernetes-preserve-unknown-fields": True}),
        ("never", {"type": "boolean", "description": "Never.", "default": False, "enum": [False]}),
    ],
)  # fmt: skip
def test_a_field_becomes_a_node(field, says):
    assert FIELDS[field] == says


def test_a_group_is_written_out_where_it_stands():
    assert FIELDS["inner"]["properties"]["depth"] == {
        "type": "integer", "description": "Its depth.", "default": 1, "minimum": 0,
    }  # fmt: skip
    assert FIELDS["inner"]["description"] == "A group."


def test_a_groups_default_says_only_what_its_fields_do_not():
    assert FIELDS["inner"]["default"] == {}
    assert FIELDS["deep"]["default"] == {"depth": 3}


def test_a_list_of_named_things_is_a_map():
    assert FIELDS["things"]["x-kubernetes-list-type"] == "map"
    assert FIELDS["things"]["x-kubernetes-list-map-keys"] == ["name"]


def test_what_a_schema_cannot_say_of_keys_becomes_a_rule():
    [rule] = FIELDS["amounts"]["x-kubernetes-validations"]
    assert rule["rule"].startswith("self.all(key, key.size() <= 317 && key.matches(")
    assert FIELDS["amounts"]["maxProperties"] == 4


def test_an_amount_is_a_number_or_text():
    amount = FIELDS["amounts"]["additionalProperties"]
    assert amount["x-kubernetes-int-or-string"] is True
    assert "type" not in amount


def test_rules_stand_at_their_group():
    assert structural(Outer)["x-kubernetes-validations"] == [{"rule": "true", "message": "say why"}]


@pytest.mark.parametrize("kind", [int | str, dict[str, int | bool], Annotated[float | list[int], 1], tuple[int, str]])
def test_a_type_that_does_not_fit_is_named(kind):
    class Wrong(Settings):
        """Does not fit."""

        field: kind
        """Of several types."""

    with pytest.raises(UnsupportedFieldError, match=r"Wrong\.field"):
        structural(Wrong)


def test_null_may_not_mean_more_than_absent():
    class Wrong(Settings):
        """Does not fit."""

        limit: int | None = 3
        """Null for no limit."""

    with pytest.raises(UnsupportedFieldError, match=r"Wrong\.limit .* make it two fields"):
        structural(Wrong)
