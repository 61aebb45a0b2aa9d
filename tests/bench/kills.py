"""Fifty stage processes of runs by processes, killed at random moments, and twenty asked to stop: what changes in the results."""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from kills import trials
from stage_runs import NOWHERE, planned, receipts, run_file

from dto_jobs.cli.running import run_file as run_here

SIGKILLS, SIGTERMS = 50, 20


def rows() -> list[dict[str, Any]]:
    """Kill and stop; every run must end with the artifacts, counts and totals of one that nobody touched."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        run_here(run_file(folder), whole, [], None, lambda: False, NOWHERE)
        expected = receipts(planned(run_file(folder), whole), whole)
        found = []
        for signals, times, row in ((signal.SIGKILL, SIGKILLS, "kill"), (signal.SIGTERM, SIGTERMS, "stop")):
            continuous = signals == signal.SIGTERM
            results, struck = trials(
                run_file(folder, continuous=continuous), folder / row, times, number=signals, seed=7, longest=2.5
            )
            changed = sum(result != expected for result in results)
            sys.stdout.write(f"{row}: {dict(Counter(struck))} in {len(results)} runs, {changed} of them changed\n")
            found.append((f"stage_{row}_trials", len(struck), "signals", len(results)))
            found.append((f"stage_{row}_changed_runs", changed, "runs", len(results)))
    return [
        {"name": name, "value": value, "unit": unit, "n": n, "low": None, "high": None}
        for name, value, unit, n in found
    ]


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
