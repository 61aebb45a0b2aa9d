"""A dashboard as its JSON says: the part of Grafana's format that ours use."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VARIABLE = re.compile(r"\$\{?(\w+)\}?")
NAMES = ("savings", "runs", "operator")
"""The dashboards there are, as they are shown."""


class Part(BaseModel):
    """A part of the JSON. What only Grafana needs is read past."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)


class Target(Part):
    """What a panel asks Prometheus."""

    expression: str = Field(alias="expr")
    name: str = Field(alias="refId")
    legend: str = Field(default="", alias="legendFormat")

    def asked(self, values: Mapping[str, str]) -> str:
        """Return the query with the variables' values in their places."""
        return VARIABLE.sub(lambda found: values[found[1]], self.expression)


class Override(Part):
    """What is different for one series or column."""

    matcher: dict[str, Any]
    properties: tuple[dict[str, Any], ...]


class Defaults(Part):
    """How values are written."""

    unit: str = "none"
    decimals: int | None = None
    max: float | None = None
    custom: dict[str, Any] = {}


class FieldConfig(Part):
    """How values are written, in general and where it is different."""

    defaults: Defaults = Defaults()
    overrides: tuple[Override, ...] = ()


class Panel(Part):
    """One picture, or the heading of those that follow."""

    kind: Literal["row", "stat", "bargauge", "timeseries", "table"] = Field(alias="type")
    title: str
    description: str = ""
    targets: tuple[Target, ...] = ()
    fields: FieldConfig = Field(default=FieldConfig(), alias="fieldConfig")
    options: dict[str, Any] = {}
    transformations: tuple[dict[str, Any], ...] = ()

    @property
    def stacked(self) -> bool:
        """Its lines stand on each other."""
        return bool(self.fields.defaults.custom.get("stacking", {}).get("mode") == "normal")

    @property
    def named(self) -> bool:
        """It shows the name of what it finds in place of its value."""
        return bool(self.options.get("textMode") == "name")

    @property
    def columns(self) -> dict[str, str]:
        """A table's columns: labels, then `Value #A` and so on, and how each is headed."""
        told: dict[str, str] = {}
        for change in self.transformations:
            told |= change.get("options", {}).get("renameByName", {})
        return told

    def unit_of(self, column: str) -> str:
        """Return the unit of a table's column."""
        units = {one.matcher.get("options"): one.properties for one in self.fields.overrides}
        found = [str(each["value"]) for each in units.get(column, ()) if each["id"] == "unit"]
        return found[0] if found else self.fields.defaults.unit


class Variable(Part):
    """What a person may choose."""

    name: str
    query: str | dict[str, Any] = ""
    every: str | None = Field(default=None, alias="allValue")

    @property
    def unchosen(self) -> str:
        """Its value where nobody has chosen: everything, or what it says itself."""
        return self.every if self.every is not None else str(self.query)


class Dashboard(Part):
    """Panels under their headings."""

    title: str
    description: str
    panels: tuple[Panel, ...]
    templating: dict[str, tuple[Variable, ...]]

    @property
    def variables(self) -> Sequence[Variable]:
        """What a person may choose."""
        return self.templating.get("list", ())


def read(name: str) -> Dashboard:
    """Return one of the dashboards that come with this package."""
    text = resources.files("dto_jobs.dashboard").joinpath("definitions", f"{name}.json").read_text(encoding="utf-8")
    return Dashboard.model_validate(json.loads(text))
