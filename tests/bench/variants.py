"""What teaches best, side by side on the demo's own traces: SimPO with and without its parts, and the controls.

Every variant trains five times with another order of the pairs; all before training is reused, and all answer the same 600
problems. Seeds take turns outermost, so that every variant has been trained as often as any other whenever it is stopped;
the same command goes on from there. Prints a Markdown table after each seed and keeps `build/variants.json`. About an hour
on one core: run it by itself (`make variants`), it is not part of `make bench`.
"""

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from dto_jobs.cli.progress import CalmProgress
from dto_jobs.cli.running import opened
from dto_jobs.outcome import results_of

ROOT = Path(__file__).resolve().parents[2]
STORE = Path(os.environ.get("DEMO_STORE") or ROOT / "build" / "demo")
TARGET = ROOT / "build" / "variants.json"
SEEDS = 5
PROBLEMS = 600
# By default a training without the NLL term is stopped by the guard; here it is to be seen what becomes of the model.
UNGUARDED = ["stages.training.nll=0", "stages.training.guard.enabled=false"]
VARIANTS = {
    "SimPO + NLL, necessary-thought pairs (the demo)": [],
    "SimPO, necessary-thought pairs": UNGUARDED,
    "SimPO + NLL": ["stages.pairs.necessary=0"],
    "SimPO": ["stages.pairs.necessary=0", *UNGUARDED],
    "SFT on chosen, necessary-thought pairs": ["stages.training.loss=sft"],
    "SFT on chosen": ["stages.pairs.necessary=0", "stages.training.loss=sft"],
    "SimPO + NLL, shortest-correct pairs (no DTO)": ["stages.pairs.chosen=shortest-correct"],
}
LEVELS = ("", "easy", "medium", "hard")

Slices = dict[str, Any]
"""A variant's evaluation by level."""


def measured(variant: int, seed: int) -> Slices:
    """Train and evaluate a variant once."""
    settings = [
        *list(VARIANTS.values())[variant],
        f"stages.training.seed={seed}",
        f"stages.evaluation.limit={PROBLEMS}",
        f"metadata.name=variant-{variant}-{seed}",
    ]
    # In this process: starting torch and trl 35 times is minutes.
    local = opened(ROOT / "manifests/samples/demo.yaml", STORE, settings)
    whole = local.work(CalmProgress(lambda text: sys.stderr.write(f"{text}\n")), lambda: False)
    results = json.loads(results_of(whole, local.run.spec.gate, frozenset()).to_json())
    return {part["level"]: part for part in results["evaluation"]["slices"]}


def span(values: list[float], form: str) -> str:
    """Return the mean over seeds with the smallest and the largest."""
    return f"{statistics.mean(values):{form}} ({min(values):{form}} … {max(values):{form}})"


def line(name: str, runs: list[Slices]) -> str:
    """Return a variant's row: accuracy, change of tokens and re-checks, all and by level."""
    cells = []
    for level in LEVELS:
        slices = [run[level] for run in runs]
        accuracy = span([100 * part["tuned"]["accuracy"]["value"] for part in slices], ".1f")
        tokens = statistics.mean(100 * part["tokenChange"]["value"] for part in slices)
        rechecks = statistics.mean(part["tuned"]["rechecks"] for part in slices)
        cells.append(f"{accuracy} · {tokens:+.0f} % · {rechecks:.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def table(results: dict[str, list[Slices]]) -> str:
    """Return the rows of all variants, over the seeds that every one of them has."""
    seeds = min(len(results.get(name, ())) for name in VARIANTS)
    rows = [line(name, results[name][:seeds]) for name in VARIANTS] if seeds else []
    return "\n".join([f"n = {seeds} seeds", "| variant | all | easy | medium | hard |", "|---|---|---|---|---|", *rows])


def main(seeds: int) -> None:
    """Run every variant with every seed; print the table as it grows."""
    TARGET.parent.mkdir(exist_ok=True)
    results: dict[str, list[Slices]] = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    for seed in range(seeds):
        for number, name in enumerate(VARIANTS):
            runs = results.setdefault(name, [])
            if len(runs) <= seed:
                runs.append(measured(number, seed))
                TARGET.write_text(json.dumps(results, indent=1))
                sys.stdout.write(f"seed {seed}: {line(name, runs[seed:])}\n")
                sys.stdout.flush()
        sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else SEEDS)
