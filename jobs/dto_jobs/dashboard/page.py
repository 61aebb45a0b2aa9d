"""The page: one HTML file that holds all it shows and fetches nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dto_jobs.dashboard import charts
from dto_jobs.dashboard.definition import VARIABLE
from dto_jobs.dashboard.gathering import Gathered, Shown, Window
from dto_jobs.dashboard.units import duration, written
from dto_jobs.report.words import NOTHING

MOST_ROWS = 40
KINDS = {"stat": "tiles", "timeseries": "charts", "bargauge": "charts", "table": "tables"}
"""What stands side by side."""


@dataclass(frozen=True)
class Entry:
    """A line's name in a legend, its colour and its last value."""

    name: str
    style: str
    value: str


@dataclass(frozen=True)
class Picture:
    """A panel, drawn."""

    title: str
    description: str
    value: str = ""
    """Of a panel with one number."""
    chart: Markup | None = None
    legend: tuple[Entry, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    labels: int = 0
    """How many columns of a table are names."""
    left_out: int = 0
    """Series or rows that there is no room for."""

    @property
    def empty(self) -> bool:
        """Nothing was found."""
        return not (self.value or self.chart or self.rows)


@dataclass
class Section:
    """A heading and what stands below it, in groups of one kind."""

    title: str
    groups: list[tuple[str, list[Picture]]] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """One dashboard of the page."""

    name: str
    title: str
    description: str
    sections: tuple[Section, ...]


def render(gathered: Sequence[Gathered], source: str, chosen: Mapping[str, str]) -> str:
    """Return the page. All names are escaped."""
    window = gathered[0].window
    parts = [
        Part(one.name, one.dashboard.title.rpartition("· ")[2], one.dashboard.description, tuple(_sections(one)))
        for one in gathered
    ]
    page = _environment().get_template("dashboard.html")
    style = _text("dto_jobs.report", "style.css") + _text("dto_jobs.dashboard", "dashboard.css")
    return page.render(
        parts=parts,
        source=source,
        chosen=chosen,
        span=duration(window.seconds),
        said=_said(gathered, chosen),
        until=f"{datetime.fromtimestamp(window.end, UTC):%d %B %Y, %H:%M} UTC",
        style=Markup(style),  # noqa: S704 - files of this package
    )


def _said(gathered: Sequence[Gathered], chosen: Mapping[str, str]) -> Callable[[str], Markup]:
    """Return what writes a description: with the values that were chosen, and code as code."""
    values = {one.name: one.unchosen for part in gathered for one in part.dashboard.variables} | dict(chosen)

    def said(text: str) -> Markup:
        pieces = VARIABLE.sub(lambda found: values.get(found[1], found[0]), text).split("`")
        marks = [Markup("<code>{}</code>") if index % 2 else Markup("{}") for index in range(len(pieces))]
        return Markup("").join(mark.format(piece) for mark, piece in zip(marks, pieces, strict=True))

    return said


def _sections(gathered: Gathered) -> Iterator[Section]:
    section = Section("")
    for kind, panels in groupby(gathered.panels, key=lambda shown: KINDS.get(shown.panel.kind, "row")):
        if kind != "row":
            section.groups.append((kind, [picture(shown, gathered.window) for shown in panels]))
            continue
        if section.groups:
            yield section
        *_, last = panels
        section = Section(last.panel.title)
    yield section


def picture(shown: Shown, window: Window) -> Picture:
    """Return a panel as it is drawn."""
    panel, found, fields = shown.panel, shown.found, shown.panel.fields.defaults
    if not found:
        return Picture(panel.title, panel.description)
    if panel.kind == "table":
        return _table(shown)
    if panel.kind == "stat":
        said = found[0].name if panel.named else written(found[0].last, fields.unit, fields.decimals)
        return Picture(panel.title, panel.description, value=said)
    if panel.kind == "bargauge":
        chart = charts.bars(found, panel.title, fields.unit, fields.max, fields.decimals)
        left_out = max(0, len(found) - charts.MOST_BARS)
        return Picture(panel.title, panel.description, chart=chart, left_out=left_out)
    drawn = charts.strokes(found, stacked=panel.stacked)
    last = {one.name: one.last for one in found}
    legend = tuple(Entry(one.name, one.style, written(last[one.name], fields.unit)) for one in drawn if one.name)
    chart = charts.lines(drawn, panel.title, fields.unit, window)
    return Picture(panel.title, panel.description, chart=chart, legend=legend, left_out=len(found) - len(drawn))


def _table(shown: Shown) -> Picture:
    """Return a row for each set of labels, with what each query found for it."""
    panel = shown.panel
    labels = [label for label in panel.columns if not label.startswith("Value #")]
    values = {label.removeprefix("Value #"): head for label, head in panel.columns.items() if label not in labels}
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for one in shown.found:
        key = tuple(one.series.labels.get(label, "") for label in labels)
        head = values[one.target]
        cells.setdefault(key, {})[head] = written(one.last, panel.unit_of(head))
    # Rows of one run stand together, in the order in which they were found.
    cells = dict(sorted(cells.items(), key=lambda cell: cell[0][:-1]))
    rows = [(*key, *(row.get(head, NOTHING) for head in values.values())) for key, row in cells.items()]
    return Picture(
        panel.title,
        panel.description,
        head=(*(panel.columns[label] for label in labels), *values.values()),
        rows=tuple(rows[:MOST_ROWS]),
        labels=len(labels),
        left_out=max(0, len(rows) - MOST_ROWS),
    )


def _text(package: str, name: str) -> str:
    environment = Environment(loader=PackageLoader(package), autoescape=True)
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dto_jobs.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
