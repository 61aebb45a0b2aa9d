"""What teaches best, side by side on the demo's own traces: SimPO with and without its parts, and the controls.

Every variant trains five times with another order of the pairs; all before training is reused. Writes a Markdown table
and `build/variants.json`. About an hour on one core: run it by itself (`make variants`), it is not part of `make bench`.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "demo"
SEEDS = 5
VARIANTS = {
    "SimPO + NLL, necessary-thought pairs (the demo)": [],
    "SimPO, necessary-thought pairs": ["stages.training.nll=0"],
    "SimPO + NLL": ["stages.pairs.necessary=0"],
    "SimPO": ["stages.pairs.necessary=0", "stages.training.nll=0"],
    "SFT on chosen, necessary-thought pairs": ["stages.training.loss=sft"],
    "SFT on chosen": ["stages.pairs.necessary=0", "stages.training.loss=sft"],
    "SimPO + NLL, shortest-correct pairs (no DTO)": ["stages.pairs.chosen=shortest-correct"],
}
LEVELS = ("", "easy", "medium", "hard")


def measured(variant: int, seed: int) -> dict[str, Any]:
    """Train and evaluate a variant once; return the slices of its evaluation by level."""
    settings = [
        *list(VARIANTS.values())[variant],
        f"stages.training.seed={seed}",
        f"metadata.name=variant-{variant}-{seed}",
    ]
    command = [
        sys.executable,
        "-m",
        "dto_jobs",
        "run",
        ROOT / "manifests/samples/demo.yaml",
        "--store",
        STORE,
        "--json",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {part["level"]: part for part in json.loads(done.stdout)["evaluation"]["slices"]}


def span(values: list[float], form: str) -> str:
    """Return the mean over seeds with the smallest and the largest."""
    return f"{statistics.mean(values):{form}} ({min(values):{form}} … {max(values):{form}})"


def line(name: str, runs: list[dict[str, Any]]) -> str:
    """Return a variant's row: accuracy, change of tokens and re-checks, all and by level."""
    cells = []
    for level in LEVELS:
        slices = [run[level] for run in runs]
        accuracy = span([100 * part["tuned"]["accuracy"]["value"] for part in slices], ".1f")
        tokens = statistics.mean(100 * part["tokenChange"]["value"] for part in slices)
        rechecks = statistics.mean(part["tuned"]["rechecks"] for part in slices)
        cells.append(f"{accuracy} · {tokens:+.0f} % · {rechecks:.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def main(seeds: int) -> None:
    """Run every variant with every seed; print the table as it grows."""
    results: dict[str, list[dict[str, Any]]] = {}
    sys.stdout.write("| variant | all | easy | medium | hard |\n|---|---|---|---|---|\n")
    for number, name in enumerate(VARIANTS):
        results[name] = [measured(number, seed) for seed in range(seeds)]
        sys.stdout.write(line(name, results[name]) + "\n")
        sys.stdout.flush()
        (ROOT / "build" / "variants.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else SEEDS)
