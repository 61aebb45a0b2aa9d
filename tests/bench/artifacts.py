"""Memory and speed of artifacts in a bucket, on a real MinIO on this machine.

Rows: `artifact_peak_memory_growth_ratio` (peak memory of a process that keeps and reads a 2 GB artifact of records, over that
for 64 MB), and `artifact_write_mb_per_second` and `artifact_read_mb_per_second` (files of a model through the store), each
with a `…_vs_bare_minio_ratio`: the same bytes by the SDK alone, in turns. What is kept cannot be compressed, so megabytes are
those on the wire and on the disk.
"""

import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Problem

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

SMALL, LARGE = 64, 2048
"""Megabytes of the artifacts whose memory is measured."""
PART = 64
"""Megabytes of a part: far more than a stage's parts have."""
SPEED = 512
PAIRS = 5


def rows() -> list[dict[str, Any]]:
    """Return the rows."""
    from minio_service import ACCESS, SECRET, started  # noqa: PLC0415 - the measured processes start no service

    with tempfile.TemporaryDirectory() as folder:
        service = started(Path(folder))
        os.environ |= {
            "DTO_S3_ENDPOINT": service.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        try:
            return [*memory(service.bucket()), *speed(service, Path(folder))]
        finally:
            service.kill()


def row(name: str, values: list[float], unit: str) -> dict[str, Any]:
    """Return a row: the median of the values, and their range."""
    low, high = round(min(values), 3), round(max(values), 3)
    return {
        "name": name,
        "value": round(statistics.median(values), 3),
        "unit": unit,
        "n": len(values),
        "low": low,
        "high": high,
    }


def memory(bucket: str) -> list[dict[str, Any]]:
    """Measure the growth of peak memory, in a process of its own for every size."""
    growth, peaks = [], []
    for number in range(3):
        small, large = (peak(bucket, f"{number}-{size}", size) for size in (SMALL, LARGE))
        growth.append(large / small)
        peaks.append(large)
    return [row("artifact_peak_memory_growth_ratio", growth, "ratio"), row("artifact_peak_memory_2gb_mb", peaks, "MB")]


def peak(bucket: str, prefix: str, size: int) -> float:
    """Return the peak memory, in megabytes, of a process that keeps, reads and verifies an artifact of this size."""
    command = [sys.executable, __file__, "artifact", f"s3://{bucket}/{prefix}", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def artifact(address: str, size: int) -> None:
    """Keep an artifact of records, read it back, print the peak memory of this process, and remove it."""

    kept = Artifact(open_store(address), "runs/r/rollout/1")
    chance = random.Random(size)

    def records() -> Iterator[Problem]:
        # Half a megabyte of characters each, of which half a byte is chance: compressed, they are as many bytes as hex digits pack into.
        for number in range(2 * PART):
            yield Problem(id=str(number), question=chance.randbytes(1 << 19).hex(), answer="")

    parts = [kept.write_part(number, records(), 1, Spend(), {}) for number in range(size // PART)]
    receipt = kept.commit(Receipt(stage="rollout", key="k", code="", blobs=tuple(part.blob for part in parts)))
    kept.verify(receipt)
    for _ in kept.records(Problem):
        pass
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    kept.store.delete("")


def speed(service: Any, folder: Path) -> list[dict[str, Any]]:
    """Measure the store against the SDK alone, in turns, on the same file."""

    bucket, client = service.bucket(), service.client()
    (source := folder / "source").mkdir()
    file = source / "model.safetensors"
    chance = random.Random(0)
    with file.open("wb") as opened:
        opened.writelines(chance.randbytes(1 << 20) for _ in range(SPEED))
    times: dict[str, list[float]] = {"write": [], "bare write": [], "read": [], "bare read": []}

    def ours_write() -> None:
        kept = Artifact(store, "runs/r/training/1")
        kept.commit(Receipt(stage="training", key="k", code="", blobs=kept.write_files(source)))

    for number in range(PAIRS):
        store = open_store(f"s3://{bucket}/{number}")
        target = folder / f"target-{number}"
        steps: dict[str, Callable[[], object]] = {
            "write": ours_write,
            "bare write": lambda: client.fput_object(bucket, "bare", str(file)),
            "read": lambda: Artifact(store, "runs/r/training/1").fetch_files(target),  # noqa: B023 - called in this turn
            "bare read": lambda: client.fget_object(bucket, "bare", str(target / "bare")),  # noqa: B023 - as above
        }
        for name in steps if number % 2 == 0 else ("bare write", "write", "bare read", "read"):
            start = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - start)
        store.delete("")
        with contextlib.suppress(FileNotFoundError):
            for path in (target / "bare", target / "model.safetensors"):
                path.unlink()
    rates = {name: [SPEED / seconds for seconds in spent] for name, spent in times.items()}
    return [
        made
        for name in ("write", "read")
        for made in (
            row(f"artifact_{name}_mb_per_second", rates[name], "MB/s"),
            row(f"bare_minio_{name}_mb_per_second", rates[f"bare {name}"], "MB/s"),
            row(
                f"artifact_{name}_vs_bare_minio_ratio",
                [ours / bare for ours, bare in zip(rates[name], rates[f"bare {name}"], strict=True)],
                "ratio",
            ),
        )
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["artifact"]:
        artifact(sys.argv[2], int(sys.argv[3]))
    else:
        sys.stdout.write("\n".join(map(json.dumps, rows())) + "\n")
