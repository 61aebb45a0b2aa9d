"""The chart's values, their schema and their page agree; what helm makes of them is shown in test_chart_rendered.py."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from dto_operator.crd import crd, to_yaml
from dto_operator.values_reference import UndescribedValueError, page, values

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/dto-operator"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FROM_HELM = {"global"}


def named(node):
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def groups(node, path=""):
    """Yield every group of the schema whose names are given."""
    node = named(node)
    if "properties" in node:
        yield path, node
        for name, inner in node["properties"].items():
            yield from groups(inner, f"{path}.{name}".lstrip("."))


def test_the_page_follows_the_values():
    assert (ROOT / "docs/values.md").read_text() == page(VALUES), "run `make docs`"


def test_the_schema_knows_the_values_and_no_others():
    documented = {value.path for value in values(VALUES)}
    known = set()
    for path, group in groups(SCHEMA):
        assert group["additionalProperties"] is False, path
        known |= {f"{path}.{name}".lstrip(".") for name in group["properties"]}
    whole = tuple(f"{value.path}." for value in values(VALUES) if value.default)
    assert {path for path in known - FROM_HELM if not path.startswith(whole)} == documented


def test_a_value_that_nothing_describes_is_refused():
    with pytest.raises(UndescribedValueError, match="`b: 2`"):
        values("# One.\na: 1\nb: 2\n")
    with pytest.raises(UndescribedValueError, match="`d: 2`"):
        values("# Group.\na:\n  # One.\n  c: 1\n  d: 2\n")


def test_deeper_keys_without_a_comment_are_the_default():
    assert [(value.path, value.default) for value in values("# Asked.\na:\n  b: {c: 1}\n")] == [
        ("a", '{"b": {"c": 1}}')
    ]


def test_the_chart_carries_the_resource():
    assert (CHART / "files/crd.yaml").read_text() == to_yaml(crd()), "run `make manifests`"


def test_chart_and_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {chart["version"], chart["appVersion"]} == {project["version"]}
