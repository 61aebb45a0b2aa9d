"""The few kinds of panels that the dashboards are made of, each in one size, with a description and a unit."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
"""Of Grafana's grid."""
MODELS = {"base": "#8a8378", "tuned": "#0b7a7a"}
"""The base model's colour and the tuned one's, wherever both are shown; bars of anything else have the latter."""


@dataclass(frozen=True)
class Query:
    """What is asked, and how each series of the answer is called."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Column:
    """A column of a table: what is asked, its name and its unit."""

    expression: str
    name: str
    unit: str


def number(title: str, description: str, query: Query, unit: str, decimals: int | None = None) -> stat.Panel:
    """Return a panel with one number as it is now."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(4)
        .height(4)
        .unit(unit)
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_now(query, "A"))
    )
    return panel if decimals is None else panel.decimals(decimals)


def word(title: str, description: str, query: Query) -> stat.Panel:
    """Return a panel with the name of a series, such as a version."""
    return number(title, description, query, "none").text_mode(shapes.BigValueTextMode.NAME)


def bars(title: str, description: str, queries: list[Query], unit: str, *, most: float | None = None) -> bargauge.Panel:
    """Return a panel with a bar for each series as it is now."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(8)
        .height(8)
        .unit(unit)
        .min(0)
        .orientation(shapes.VizOrientation.HORIZONTAL)
        .display_mode(shapes.BarGaugeDisplayMode.BASIC)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(MODELS["tuned"]))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for variant, colour in MODELS.items():
        panel.override_by_regexp(f"/{variant}$/", [_colour(colour)])
    for query, name in zip(queries, "ABCDEF", strict=False):
        panel.with_target(_now(query, name))
    return panel if most is None else panel.max(most)


def lines(title: str, description: str, queries: list[Query], unit: str, *, stacked: bool = False) -> timeseries.Panel:
    """Return a panel with a line for each series over the time shown."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(8)
        .height(8)
        .unit(unit)
        .axis_soft_min(0)
        .line_width(1)
        .fill_opacity(25 if stacked else 0)
        .legend(
            common.VizLegendOptions()
            .display_mode(shapes.LegendDisplayMode.LIST)
            .placement(shapes.LegendPlacement.BOTTOM)
            .show_legend(True)  # noqa: FBT003 - the library's signature
        )
        .tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    for query, name in zip(queries, "ABCDEF", strict=False):
        panel.with_target(_query(query, name).range())
    return panel


def rows(title: str, description: str, columns: list[Column], labels: dict[str, str]) -> table.Panel:
    """Return a table: a row for each value of the labels, which are columns under these names, and a column per query."""
    queried = dict(zip("ABCDEFGHIJ", columns, strict=False))
    values = {f"Value #{name}": column.name for name, column in queried.items()}
    order = {name: index for index, name in enumerate([*labels, *values])}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(COLUMNS)
        .height(9)
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": {**labels, **values},
                },
            )
        )
    )
    for name, column in queried.items():
        panel.with_target(_now(Query(column.expression, ""), name).format(PromQueryFormat.TABLE))
        panel.override_by_name(column.name, [DynamicConfigValue(id_val="unit", value=column.unit)])
    return panel


def _query(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(name).datasource(SOURCE)


def _now(query: Query, name: str) -> prometheus.Dataquery:
    return _query(query, name).instant()


def _colour(colour: str) -> DynamicConfigValue:
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


Panels = list[Builder[Panel]]
