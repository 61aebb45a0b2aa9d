"""Rows of JSONL files from outside, read one at a time, with errors that name file, line, field and remedy."""

import difflib
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import zstandard

from dto_jobs.artifacts.addresses import SCHEME
from dto_jobs.artifacts.remote_file import RemoteFile
from dto_jobs.errors import InputError
from dto_jobs.problem_source import RowSource

EXCERPT = 60


class Row(NamedTuple):
    """One object of a file, and where it stands."""

    place: str
    """`file:line`, as errors name it."""
    number: int
    columns: dict[str, Any]

    def error(self, message: str) -> InputError:
        """Return an error about this row."""
        return InputError(f"{self.place}: {message}")

    def named(self, column: str | None, usual: Iterable[str]) -> str | None:
        """Return the column to read: the one asked for, else the first usual one there is. InputError if it is asked for in vain."""
        if column is None:
            return next((name for name in usual if name in self.columns), None)
        if column not in self.columns:
            raise self.error(f"no column {column!r}; there are {self._columns()}")
        return column

    def required(self, field: str, column: str | None, usual: tuple[str, ...]) -> str:
        """Return the column for a field that every row needs."""
        found = self.named(column, usual)
        if found is None:
            looked = ", ".join(usual)
            raise self.error(
                f"no column for the {field} ({looked}); there are {self._columns()}: name one with `{field}:`"
            )
        return found

    def text(self, column: str) -> str:
        """Return a column's text or number as text, empty for null; InputError for anything else."""
        value = self.columns[column]
        if value is None:
            return ""
        if isinstance(value, str):
            # Lone surrogates pass JSON but can be neither stored nor tokenized.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return str(int(value)) if value == int(value) else str(value)
        raise self.error(f"column {column!r} holds {_kind(value)}, not text or a number")

    def _columns(self) -> str:
        return ", ".join(self.columns) or "none"


def located(source: str, folder: Path, also: tuple[str, ...] = (), endpoint: str | None = None) -> Path | RemoteFile:
    """Return the file that a path, `file:` or `s3:` URL names, relative to `folder`; InputError with near names if there is none.

    `also` are other names a person may have meant; `endpoint` is where S3 is, by default what the environment says.
    """
    if source.startswith(SCHEME):
        return RemoteFile(source, endpoint)
    if "://" in source and not source.startswith("file:"):
        raise InputError(
            f"{source}: only files, s3:// and hf://datasets/ can be read here: download it as JSONL and name the file"
        )
    if source.startswith("file:"):
        source = unquote(urlsplit(source).path)
    path = folder / Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it ({_names(path) or 'it is empty'})")
    near = difflib.get_close_matches(path.name, [*_neighbours(path.parent), *also], n=3)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"the folder {path.parent} holds {_names(path.parent) or 'no files'}"
    )
    raise InputError(f"there is no file {path}; {hint}")


def _neighbours(folder: Path) -> list[str]:
    return sorted(other.name for other in folder.iterdir() if other.is_file()) if folder.is_dir() else []


def _names(folder: Path) -> str:
    names = _neighbours(folder)
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")


def read_rows(path: Path | RemoteFile) -> Iterator[Row]:
    """Yield a file's rows, blank lines left out; InputError for what is not UTF-8, not JSON or no object."""
    try:
        with _opened(path) as lines:
            yield from _parsed(path, lines)
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


@contextmanager
def _opened(path: Path | RemoteFile) -> Iterator[Iterable[bytes]]:
    with path.open("rb") if isinstance(path, Path) else path.open() as packed, _unpacked(packed, path.suffix) as lines:
        yield lines


def _unpacked(packed: io.BufferedReader, suffix: str) -> AbstractContextManager[Iterable[bytes]]:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=packed)
    return io.BufferedReader(zstandard.open(packed)) if suffix == ".zst" else packed


def _parsed(path: Path | RemoteFile, lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(f"{path}:{number}", number, line)


def _row(place: str, number: int, line: bytes) -> Row:
    try:
        columns = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 at byte {error.start}: save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        excerpt = line.decode(errors="replace").strip()[:EXCERPT]
        raise InputError(
            f"{place}: not JSON ({error}): {excerpt!r}; a line holds one JSON object, mend or remove it"
        ) from error
    if not isinstance(columns, dict):
        raise InputError(
            f'{place}: holds {_kind(columns)}, not an object; a line is one JSON object such as {{"problem": …}}'
        )
    return Row(place, number, columns)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), f"{value!r}")


def chosen(rows: Iterable[Row], source: RowSource) -> Iterator[Row]:
    """Yield the rows that pass the filter, from `skip` on; `limit` counts problems and is left to the caller."""
    passed = 0
    for row in rows:
        if _passes(row, source):
            passed += 1
            if passed > source.skip:
                yield row


def _passes(row: Row, source: RowSource) -> bool:
    for column, wanted in source.filter.items():
        name = row.named(column, ()) or column
        if row.text(name) not in wanted:
            return False
    return True


class Identities:
    """The identities seen so far, so that none comes twice."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def add(self, identity: str, row: Row) -> str:
        """Return the identity; InputError names both rows that have it."""
        if identity in self._places:
            raise row.error(
                f"the id {identity!r} is taken by {self._places[identity]}: make it unique, or name another column with `id:`"
            )
        self._places[identity] = row.place
        return identity
