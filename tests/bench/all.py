"""Run the benchmarks and write `build/bench.json`: a row each, with the command and the machine.

`python tests/bench/all.py [NAME …]` runs those named (the files of this folder), or all but `variants`, which takes an hour.
"""

import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "build" / "bench.json"


def machine() -> str:
    """Return what the rows were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    return f"{len(names)} x {names[0] if names else platform.processor()}, OMP_NUM_THREADS={threads}, Python {platform.python_version()}"


def rows_of(name: str) -> list[dict[str, object]]:
    """Return the rows of one benchmark."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows: list[dict[str, object]] = module.rows()
    return [{**row, "command": f"python tests/bench/{name}.py", "machine": machine()} for row in rows]


def main(names: list[str]) -> None:
    """Run benchmarks one after the other; rows of others that were measured before stay."""
    TARGET.parent.mkdir(exist_ok=True)
    kept = {row["name"]: row for row in json.loads(TARGET.read_text())} if TARGET.exists() else {}
    for name in names or sorted(path.stem for path in HERE.glob("*.py") if path.stem not in {"all", "variants"}):
        sys.stdout.write(f"== {name}\n")
        for row in rows_of(name):
            kept[row["name"]] = row
            sys.stdout.write(
                f"{row['name']}: {row['value']} {row['unit']} (n {row['n']}, {row['low']} … {row['high']})\n"
            )
        TARGET.write_text(json.dumps(list(kept.values()), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
