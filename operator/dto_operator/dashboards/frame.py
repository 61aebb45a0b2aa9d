"""What the dashboards share: variables, links to each other, rows of panels."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dto_operator.dashboards.panels import SOURCE, Panels
from dto_operator.dashboards.queries import ANSWERS_A_DAY, OPERATOR
from dto_operator.metrics import BUILD, RUN_INFO

TAG = "dto"


def framed(name: str, title: str, description: str, hours: int) -> dashboard.Dashboard:
    """Return a dashboard without panels: its name, what it is for, and how much time it shows at first."""
    made = (
        dashboard.Dashboard(f"DTO · {title}")
        .uid(f"dto-{name}")
        .description(description)
        .tags([TAG])
        .editable()
        .refresh("1m")
        .time(f"now-{hours}h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    return made.link(
        dashboard.DashboardLink("DTO")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)  # noqa: FBT003 - the library's signature
        .include_vars(True)  # noqa: FBT003 - as above
        .keep_time(True)  # noqa: FBT003 - as above
    )


def with_runs(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """Let a person choose namespaces and runs."""
    run = f'label_values({RUN_INFO.name}{{namespace=~"$namespace"}}, run)'
    return made.with_variable(
        _choice("namespace", "Namespace", f"label_values({RUN_INFO.name}, namespace)")
    ).with_variable(_choice("run", "Run", run))


def with_operators(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """Let a person choose between several operators, by the namespace they are in."""
    return made.with_variable(_choice(OPERATOR, "Operator in", f"label_values({BUILD.name}, namespace)"))


def with_answers(made: dashboard.Dashboard, amount: int) -> dashboard.Dashboard:
    """Let a person say how many answers a day the tuned model gives."""
    box = dashboard.TextBoxVariable(ANSWERS_A_DAY).label("Answers a day").default_value(str(amount))
    return made.with_variable(box)


def with_row(made: dashboard.Dashboard, title: str, panels: Panels) -> dashboard.Dashboard:
    """Add a row of panels under a heading."""
    made.with_row(dashboard.Row(title))
    for panel in panels:
        made.with_panel(panel)
    return made


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - the library's signature
        .include_all(True)  # noqa: FBT003 - as above
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
