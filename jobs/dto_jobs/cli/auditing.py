"""`dto judge-audit` and `dto segment-audit`: a run looked at once more, in a table, kept beside its artifacts."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from dto_jobs.artifacts.addresses import scratch
from dto_jobs.artifacts.store import Store
from dto_jobs.audits import Auditor
from dto_jobs.cli.progress import CalmProgress, TerminalProgress
from dto_jobs.cli.running import write_report
from dto_jobs.core.audits import CutAudit, JudgeAudit
from dto_jobs.core.interval import Interval
from dto_jobs.errors import InputError
from dto_jobs.judges import JudgeSource
from dto_jobs.run_file import parse_run
from dto_jobs.runner import Progress
from dto_jobs.workshop import LocalWorkshop

JUDGES = "judges"
CUTS = "cuts"


def audit_judges(store: Store, name: str, judges: Sequence[str], traces: int, out: Console) -> JudgeAudit:
    """Audit judges (YAML of a judge's settings each; the run's own where none is named) and keep the result."""
    with ExitStack() as stack:
        auditor = _auditor(store, name, stack, out)
        own = auditor.run.spec.stages.pruning.judge
        sources = [_source(text) for text in judges] or ([own] if own else [])
        named = {_name(source): source for source in sources}
        if not named:
            raise InputError(f"the run {name} has no judge; name one: --judge '{{model: builtin:smollm2-135m}}'")
        found = auditor.judges(named, traces)
    _keep(store, name, JUDGES, found, out)
    return found


def audit_cuts(store: Store, name: str, traces: int, out: Console) -> CutAudit:
    """Audit the cutting of traces and keep the result."""
    with ExitStack() as stack:
        found = _auditor(store, name, stack, out).cuts(traces)
    _keep(store, name, CUTS, found, out)
    return found


def _auditor(store: Store, name: str, stack: ExitStack, out: Console) -> Auditor:
    note = f"runs/{name}/run.yaml"
    if not store.exists(note):
        raise InputError(f"the run {name} in {store.address} has no results yet; run it first: dto run FILE")
    run = parse_run(yaml.safe_load(b"".join(store.read(note))), note)
    progress: Progress = CalmProgress(lambda text: out.print(text, highlight=False, soft_wrap=True))
    if out.is_terminal:
        progress = stack.enter_context(TerminalProgress(out))
    workshop = LocalWorkshop(run.spec.model, run.spec.engine, Path.cwd(), scratch(store))
    return Auditor(store, name, run, workshop, progress)


def _source(text: str) -> JudgeSource:
    try:
        return JudgeSource.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as problem:
        raise InputError(
            f"--judge {text!r} describes no judge: {problem}; write {{model: SOURCE}} or {{endpoint: {{url: …, model: …}}}}"
        ) from problem


def _name(source: JudgeSource) -> str:
    return source.endpoint.model if source.endpoint else source.model or ""


def _keep(store: Store, name: str, kind: str, found: JudgeAudit | CutAudit, out: Console) -> None:
    place = f"runs/{name}/audits/{kind}.json"
    store.write(place, [found.model_dump_json(by_alias=True, indent=1).encode()])
    out.print(f"kept in {store.address}/{place}; report: {write_report(store, name, None)}", soft_wrap=True)


def judge_table(found: JudgeAudit) -> Group:
    """Return what the verdicts are worth, as a table."""
    shown = Table(
        "judge", "drops", "agreement", "κ", "harm", "missed", "no verdict", title=_title(found), title_justify="left"
    )
    for one in found.judges:
        dropped, agreement, harm, missed = map(_percent, (one.dropped, one.agreement, one.harm, one.missed))
        shown.add_row(
            one.judge, dropped, agreement, _plain(one.kappa), harm, missed, f"{one.unheard} of {one.patterns}"
        )
    lines = [
        Text(
            f"Of the patterns, {_percent(found.needed)} are needed: without such a one alone, fewer than "
            f"{100 * found.threshold:.0f} % of answers are right. Dropping at random would harm as often."
        ),
        Text(
            "harm: dropped, and the answer is lost · missed: needless, and kept · intervals: 95 %, by problem",
            style="dim",
        ),
    ]
    if found.unsteady:
        lines.append(
            Text(f"{found.unsteady} more traces were left out: their answers are not steady with all patterns.")
        )
    lines += [
        Text(f"{pair.first} and {pair.second}: agree on {_percent(pair.agreement)}, κ {_plain(pair.kappa)}")
        for pair in found.pairs
    ]
    return Group(shown, *lines)


def cut_table(found: CutAudit) -> Group:
    """Return how far exits depend on the cut, as two tables."""
    alone = Table(
        "cut", "patterns", "with exit", "exit at", "saved", "answers drawn", title=_title(found), title_justify="left"
    )
    for one in found.cuts:
        alone.add_row(
            one.name,
            f"{one.patterns:.1f}",
            _percent(one.with_exit),
            _percent(one.position),
            _percent(one.saving),
            f"{one.samples:.0f}",
        )
    paired = Table("against the run's own cut", "same traces have an exit", "exits apart", "later by", "saved more")
    for pair in found.pairs:
        values = (pair.same, pair.distance, pair.shift, pair.saving)
        paired.add_row(f"{pair.second} ({pair.both} traces with both)", *map(_percent, values))
    note = "exit at, saved, apart: shares of the thinking's characters · intervals: 95 %, by problem"
    return Group(alone, paired, Text(note, style="dim"))


def _title(found: JudgeAudit | CutAudit) -> str:
    return f"{found.run}: {found.traces} traces of {found.problems} problems"


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    value = f"{100 * interval.value:.1f} %"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _plain(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
