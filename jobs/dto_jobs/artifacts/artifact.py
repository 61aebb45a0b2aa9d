"""Artifacts: records in parts, or files of a model, proven whole by a receipt that is written last (platform.md)."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import zstandard
from pydantic import Field, ValidationError

from dto_jobs.artifacts.store import Store
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Record
from dto_jobs.errors import StoreError

SCHEMA_VERSION = 1
Some = TypeVar("Some", bound=Record)


class Blob(Record):
    """An object of an artifact: its name below the artifact, digest and size in bytes."""

    name: str
    sha256: str
    bytes: int


class Part(Record):
    """A committed part: what came of a fixed range of inputs, and what it cost."""

    blob: Blob
    inputs: int
    records: int
    spend: Spend
    counts: dict[str, int] = Field(default={})


class Receipt(Record):
    """The last-written object of an artifact: proves it whole and says what it is, where it comes from and what it cost."""

    schema_version: int = SCHEMA_VERSION
    stage: str
    key: str
    code: str
    reads: dict[str, str] = Field(default={})
    """Digest of each input artifact, by stage."""
    settings: dict[str, Any] = Field(default={})
    blobs: tuple[Blob, ...]
    records: int = 0
    counts: dict[str, int] = Field(default={})
    spend: Spend = Spend()
    figures: dict[str, Any] = Field(default={})

    @property
    def digest(self) -> str:
        """Sha256 over the digests of all its objects: the same content has the same digest, whenever it was made."""
        return hashlib.sha256("".join(f"{blob.name}:{blob.sha256}\n" for blob in self.blobs).encode()).hexdigest()


class Artifact:
    """A place in a store where an artifact is, or comes to be."""

    def __init__(self, store: Store, base: str) -> None:
        self.store = store
        self.base = base

    def receipt(self) -> Receipt | None:
        """Return the receipt; None where the artifact is not whole."""
        name = f"{self.base}/receipt.json"
        return _parsed(self.store, name, Receipt) if self.store.exists(name) else None

    def commit(self, receipt: Receipt) -> None:
        """Write the receipt: from now on the artifact is whole."""
        self.store.write(f"{self.base}/receipt.json", [receipt.model_dump_json(indent=1).encode()])

    def verify(self, receipt: Receipt) -> None:
        """Read every object once; StoreError names the first that is gone or differs from its digest."""
        for blob in receipt.blobs:
            for _ in self._verified(blob):
                pass

    def _verified(self, blob: Blob) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for chunk in self.store.read(f"{self.base}/{blob.name}"):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != blob.sha256:
            raise StoreError(
                f"{self.base}/{blob.name} is damaged: its sha256 is not the one in its receipt; "
                f"delete {self.base} and run again to make it anew"
            )

    # Records

    def parts(self) -> list[Part]:
        """Return the committed parts, in order, up to the first gap."""
        parts: list[Part] = []
        while self.store.exists(name := f"{self.base}/part-{len(parts):05d}.json"):
            parts.append(_parsed(self.store, name, Part))
        return parts

    def write_part(
        self, number: int, records: Sequence[Record], inputs: int, spend: Spend, counts: dict[str, int]
    ) -> Part:
        """Commit a part: its records, then the note that makes it count."""
        name = f"part-{number:05d}.jsonl.zst"
        lines = b"".join(record.model_dump_json().encode() + b"\n" for record in records)
        data = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(lines)
        self.store.write(f"{self.base}/{name}", [data])
        blob = Blob(name=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        part = Part(blob=blob, inputs=inputs, records=len(records), spend=spend, counts=counts)
        self.store.write(f"{self.base}/part-{number:05d}.json", [part.model_dump_json().encode()])
        return part

    def records(self, kind: type[Some]) -> Iterator[Some]:
        """Yield the records of a whole artifact, part by part, each verified before its first record is handed out."""
        receipt = self.receipt()
        if receipt is None:
            raise StoreError(f"{self.base} has no receipt: it was never finished; run the stage again")
        for blob in receipt.blobs:
            if blob.name.endswith(".jsonl.zst"):
                yield from self._lines(blob, kind)

    def _lines(self, blob: Blob, kind: type[Some]) -> Iterator[Some]:
        data = b"".join(self._verified(blob))
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            pending = b""
            while chunk := stream.read(1 << 20):
                *lines, pending = (pending + chunk).split(b"\n")
                yield from (_record(line, kind, blob.name) for line in lines)

    # Files

    def write_files(self, folder: Path) -> tuple[Blob, ...]:
        """Keep every file of a folder; return what was kept."""
        return tuple(self._write_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file())

    def _write_file(self, folder: Path, path: Path) -> Blob:
        name = "files/" + path.relative_to(folder).as_posix()
        digest = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
                    yield chunk

        self.store.write(f"{self.base}/{name}", chunks())
        return Blob(name=name, sha256=digest.hexdigest(), bytes=path.stat().st_size)

    def fetch_files(self, folder: Path) -> None:
        """Copy the artifact's files into a folder, each verified."""
        receipt = self.receipt()
        for blob in receipt.blobs if receipt else ():
            path = folder / blob.name.removeprefix("files/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.writelines(self._verified(blob))


def _parsed(store: Store, name: str, kind: type[Some]) -> Some:
    return _record(b"".join(store.read(name)), kind, name)


def _record(line: bytes, kind: type[Some], where: str) -> Some:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StoreError(
            f"{where} does not hold a {kind.__name__}: {first['msg']}; it was written by another version, or damaged"
        ) from error


def to_json(value: object) -> bytes:
    """Return canonical JSON: sorted keys, no spaces to drift."""
    return json.dumps(value, sort_keys=True, indent=1).encode()
