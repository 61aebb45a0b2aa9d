"""Snapshots of what a run reads from outside: problems, benchmarks and imported traces, kept by their content."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice

from dto_jobs.artifacts.artifact import Artifact, Part, Receipt
from dto_jobs.artifacts.attempts import Whole
from dto_jobs.artifacts.store import Store
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Record
from dto_jobs.errors import InputError

PART = 4096


def snapshot(store: Store, name: str, read: Callable[[], Iterator[Record]]) -> Whole:
    """Keep what `read` yields and return its artifact; its content key is the digest of the records.

    The source is read twice (once for its digest), so that memory does not grow with it.
    """
    digest = hashlib.sha256()
    for _ in _counted(read(), digest):
        pass
    key = digest.hexdigest()
    artifact = Artifact(store, f"sources/{key}")
    receipt = artifact.receipt()
    if receipt is None:
        records = _counted(read(), again := hashlib.sha256())
        parts: list[Part] = []
        while batch := list(islice(records, PART)):
            parts.append(artifact.write_part(len(parts), batch, len(batch), Spend(), {}))
        if again.hexdigest() != key:
            raise InputError(f"the {name} changed while they were read: run again once nothing writes to them")
        blobs, kept = tuple(part.blob for part in parts), sum(part.records for part in parts)
        receipt = artifact.commit(Receipt(stage=name, key=key, code="", blobs=blobs, records=kept))
    return artifact, receipt


def _counted(records: Iterator[Record], digest: "hashlib._Hash") -> Iterator[Record]:
    """Yield records and count them into a digest."""
    for record in records:
        digest.update(record.model_dump_json().encode() + b"\n")
        yield record
