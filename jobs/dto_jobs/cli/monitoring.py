"""`dto dashboard`: the dashboards as one page, from whatever a Prometheus has."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dto_jobs.dashboard.definition import NAMES, read
from dto_jobs.dashboard.gathering import Window, gather
from dto_jobs.dashboard.page import render
from dto_jobs.dashboard.prometheus import Prometheus
from dto_jobs.errors import InputError

OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def write_dashboards(url: str, names: Sequence[str], hours: float, chosen: Mapping[str, str], output: Path) -> None:
    """Ask a Prometheus and write the page; InputError or PrometheusError say what is wrong."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(f"there is no dashboard {unknown[0]!r}; there are {', '.join(NAMES)}")
    for what, name in chosen.items():
        if not OBJECT.fullmatch(name):
            raise InputError(
                f"{name!r} cannot be a {what}'s name on a cluster; `kubectl get dto -A` lists what there is"
            )
    prometheus = Prometheus(url)
    window = Window(time.time(), 3600 * hours, prometheus.scrape_seconds())
    picked = {what: name.replace(".", "[.]") for what, name in chosen.items()}
    gathered = [gather(name, read(name), prometheus, window, picked) for name in names or NAMES]
    try:
        output.write_text(render(gathered, prometheus.url, chosen), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}; name another file with --out") from error
