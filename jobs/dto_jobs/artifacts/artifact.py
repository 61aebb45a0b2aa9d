"""Artifacts: records in parts, or files of a model, proven whole by a receipt that is written last (platform.md)."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar

import zstandard
from pydantic import Field, ValidationError, field_validator

from dto_jobs.artifacts.store import Store
from dto_jobs.core.cost import ModelShape, Spend
from dto_jobs.core.records import Record
from dto_jobs.errors import StoreError

SCHEMA_VERSION = 2
CHUNK = 1 << 20
FILES = "content"
DISCARDED = "discarded.json"
"""Marks an artifact of which only the receipt is left, by `artifacts.policy: DeleteIntermediates`."""
NOTE = re.compile(r"part-(\d{5,})\.json")
IN_MEMORY = 8 << 20
"""Bytes of a compressed part that wait in memory; what is longer waits on the disk."""
Some = TypeVar("Some", bound=Record)


class Blob(Record):
    """An object of an artifact: its name below the artifact, digest and size in bytes."""

    name: str
    sha256: str
    bytes: int

    @field_validator("name")
    @classmethod
    def _stays_below(cls, name: str) -> str:
        # A receipt from a bucket must not be able to place a file outside the folder it is fetched into.
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"the name {name!r} leads out of the artifact")
        return name


class Part(Record):
    """A committed part: what came of a fixed range of inputs, and what it cost."""

    blob: Blob
    inputs: int
    records: int
    spend: Spend
    counts: dict[str, int] = Field(default={})
    shape: ModelShape | None = None
    """Of the model that made it."""


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

    def commit(self, receipt: Receipt) -> Receipt:
        """Write the receipt: from now on the artifact is whole. Return the receipt that stands: the first one written."""
        if self.store.create(f"{self.base}/receipt.json", receipt.model_dump_json(indent=1).encode()):
            return receipt
        standing = self.receipt()
        assert standing is not None
        return standing

    def discarded(self) -> bool:
        """Tell whether its objects were removed once the run was done, and its receipt kept."""
        return self.store.exists(f"{self.base}/{DISCARDED}")

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
        while (part := self.part(len(parts))) is not None:
            parts.append(part)
        return parts

    def part(self, number: int) -> Part | None:
        """Return a part; None where it is not committed."""
        name = self._note(number)
        return _parsed(self.store, name, Part) if self.store.exists(name) else None

    def committed(self) -> dict[int, Part]:
        """Return the committed parts by number, whatever is missing between them."""
        names = (name.rpartition("/")[2] for name in self.store.names(f"{self.base}/part-"))
        numbers = sorted(int(found[1]) for name in names if (found := NOTE.fullmatch(name)))
        return {number: part for number in numbers if (part := self.part(number)) is not None}

    def write_part(
        self,
        number: int,
        records: Iterable[Record],
        inputs: int,
        spend: Spend,
        counts: dict[str, int],
        shape: ModelShape | None = None,
    ) -> Part:
        """Commit a part: its records, then the note that makes it count. Return the part that stands.

        Where several processes write one part, the first note stands and the others adopt it. The records are named
        by their content, so that no note can come to speak of another's records.
        """
        blob, kept = self._write_records(f"part-{number:05d}", records)
        part = Part(blob=blob, inputs=inputs, records=kept, spend=spend, counts=counts, shape=shape)
        if self.store.create(self._note(number), part.model_dump_json().encode()):
            return part
        standing = self.part(number)
        assert standing is not None
        if standing.blob.name != blob.name:
            self.store.delete(f"{self.base}/{blob.name}")
        return standing

    def write_draft(
        self, number: int, records: Iterable[Record], inputs: int, spend: Spend, counts: dict[str, int]
    ) -> None:
        """Keep the beginning of a part that could not be finished: what came of its first `inputs` inputs."""
        blob, kept = self._write_records(f"draft-{number:05d}", records)
        draft = Part(blob=blob, inputs=inputs, records=kept, spend=spend, counts=counts)
        self.store.write(f"{self.base}/draft-{number:05d}.json", [draft.model_dump_json().encode()])

    def draft(self, number: int, kind: type[Some]) -> tuple[Part, list[Some]] | None:
        """Return the beginning of a part and its records; None where none was kept, or not whole."""
        name = f"{self.base}/draft-{number:05d}.json"
        try:
            draft = _parsed(self.store, name, Part) if self.store.exists(name) else None
            return (draft, [_record(line, kind, name) for line in self._lines(draft.blob)]) if draft else None
        except StoreError:
            # A draft saves time; nothing depends on it.
            return None

    def _write_records(self, name: str, records: Iterable[Record]) -> tuple[Blob, int]:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            kept = _compressed(records, file)
            blob = _blob(file, lambda digest: f"{name}-{digest[:16]}.jsonl.zst")
            file.seek(0)
            self.store.write(f"{self.base}/{blob.name}", _chunks(file))
        return blob, kept

    def _note(self, number: int) -> str:
        return f"{self.base}/part-{number:05d}.json"

    def records(self, kind: type[Some], wanted: Callable[[int], bool] = lambda _: True) -> Iterator[Some]:
        """Yield the records of a whole artifact, part by part, each verified before its first record is handed out.

        Those whose place in the artifact is not `wanted` are passed over unread.
        """
        receipt = self.receipt()
        if receipt is None:
            raise StoreError(f"{self.base} has no receipt: it was never finished; run the stage again")
        if self.discarded():
            raise StoreError(
                f"{self.base} was removed when its run was done (artifacts.policy: DeleteIntermediates); its receipt, the "
                "results and the report are left, and a run that makes it anew has its records"
            )
        place = 0
        for blob in receipt.blobs:
            if not blob.name.endswith(".jsonl.zst"):
                continue
            for line in self._lines(blob):
                if wanted(place):
                    yield _record(line, kind, blob.name)
                place += 1

    def _lines(self, blob: Blob) -> Iterator[bytes]:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            # Not `writelines`: it would look only afterwards whether all that should still be in memory.
            for chunk in self._verified(blob):
                file.write(chunk)
            file.seek(0)
            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                pending = b""
                while chunk := stream.read(CHUNK):
                    *lines, pending = (pending + chunk).split(b"\n")
                    yield from lines

    # Files

    def write_files(self, folder: Path) -> tuple[Blob, ...]:
        """Keep every file of a folder; return what was kept."""
        return tuple(self._write_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file())

    def _write_file(self, folder: Path, path: Path) -> Blob:
        inside = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            # Read twice, for its digest and to be kept: two processes that keep a file of one name cannot mix.
            blob = _blob(file, lambda digest: f"{FILES}/{digest[:16]}/{inside}")
            file.seek(0)
            self.store.write(f"{self.base}/{blob.name}", _chunks(file))
        return blob

    def fetch_files(self, folder: Path) -> None:
        """Copy the artifact's files into a folder, each verified; a file that differs from its digest is not left there."""
        receipt = self.receipt()
        for blob in receipt.blobs if receipt else ():
            path = folder / _inside(blob)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("wb") as file:
                    file.writelines(self._verified(blob))
            except BaseException:
                path.unlink(missing_ok=True)
                raise


def _inside(blob: Blob) -> str:
    """Return a file's name below the folder it was kept from."""
    place, _, inside = blob.name.partition("/")
    # Artifacts of version 1 named a file by its place alone.
    return inside.partition("/")[2] if place == FILES else inside


def _compressed(records: Iterable[Record], file: IO[bytes]) -> int:
    """Write records as compressed lines; return how many."""
    count = 0
    with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(file, closefd=False) as stream:
        for record in records:
            stream.write(record.model_dump_json().encode() + b"\n")
            count += 1
    return count


def _blob(file: IO[bytes], named: Callable[[str], str]) -> Blob:
    """Return what a file holds, under a name that follows from its digest."""
    digest = hashlib.sha256()
    size = 0
    file.seek(0)
    for chunk in _chunks(file):
        digest.update(chunk)
        size += len(chunk)
    return Blob(name=named(digest.hexdigest()), sha256=digest.hexdigest(), bytes=size)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


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
