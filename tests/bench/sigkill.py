"""The operator killed at every turn of simulated runs: attempts that were started twice, runs that were lost."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from kill_trials import trials


def rows() -> list[dict[str, Any]]:
    """Kill the operator before and after each of its calls, in runs of several shapes, with and without failing stages."""
    done = list(trials())
    found = {
        "sigkill_trials": (len(done), "trials"),
        "sigkill_duplicates": (sum(trial.duplicates for trial in done), "attempts"),
        "sigkill_lost": (sum(not trial.complete for trial in done), "runs"),
    }
    return [
        {"name": name, "value": value, "unit": unit, "n": len(done), "low": None, "high": None}
        for name, (value, unit) in found.items()
    ]


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
