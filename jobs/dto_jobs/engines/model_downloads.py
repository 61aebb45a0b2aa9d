"""Models from a bucket or the hub's cache: whole and verified, or not at all."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

from dto_jobs.artifacts.addresses import SCHEME, open_store
from dto_jobs.artifacts.artifact import Artifact, to_json
from dto_jobs.artifacts.s3 import S3Store, Version
from dto_jobs.errors import InputError

DIGESTS = "digests.json"
"""The last-written file of a downloaded model: the sha256 of every file beside it."""
CHUNK = 1 << 20


def from_bucket(source: str, folder: Path, patterns: tuple[str, ...], endpoint: str | None) -> Path:
    """Return a folder with the model below `s3://bucket/prefix`, downloaded once; InputError where there is none.

    Taken are the files whose names match a pattern, or the files of an artifact of ours, by its receipt.
    """
    store = open_store(source, endpoint)
    assert isinstance(store, S3Store)
    there = store.versions("")
    if not there:
        raise InputError(f"there is nothing at {source}: name the folder of a model, such as {SCHEME}models/qwen-1.5b")
    # A model lies flat in its folder; what lies deeper, such as checkpoints, is none of it, nor is what climbs out of it.
    flat = {name: version for name, version in sorted(there.items()) if "/" not in name}
    wanted = {name: version for name, version in flat.items() if any(fnmatch(name, one) for one in patterns)}
    whole = "receipt.json" in there
    names = {"receipt.json": there["receipt.json"]} if whole else wanted
    key = hashlib.sha256(to_json([source, sorted((name, version.etag) for name, version in names.items())]))
    target = folder / key.hexdigest()[:16]
    if not (target / DIGESTS).is_file():
        fetch: Callable[[Path], None] = (
            (lambda partial: _fetch_artifact(source, partial, endpoint))
            if whole
            else (lambda partial: _fetch(store, wanted, partial))
        )
        _made(target, fetch)
    _check_files(target)
    return target


def _made(target: Path, fetch: Callable[[Path], None]) -> None:
    """Fetch into a folder of its own, which gets its name when it is whole; where two do so at once, one is kept."""
    partial = target.with_name(f"{target.name}.{uuid4().hex}.partial")
    partial.mkdir(parents=True)
    try:
        fetch(partial)
        digests = {name: _sha256(partial / name) for name in sorted(_files(partial))}
        (partial / DIGESTS).write_bytes(to_json(digests))
        with suppress(OSError):
            # Refused where another process was faster: its folder is as good.
            partial.rename(target)
    finally:
        rmtree(partial, ignore_errors=True)


def _fetch_artifact(source: str, partial: Path, endpoint: str | None) -> None:
    above, _, name = source.rstrip("/").rpartition("/")
    Artifact(open_store(above, endpoint), name).fetch_files(partial)


def _fetch(store: S3Store, names: dict[str, Version], partial: Path) -> None:
    for name, version in names.items():
        size, md5 = 0, hashlib.md5(usedforsecurity=False)
        with (partial / name).open("wb") as file:
            for chunk in store.read(name):
                file.write(chunk)
                md5.update(chunk)
                size += len(chunk)
        if size != version.size or store.md5(name) not in {None, md5.hexdigest()}:
            raise InputError(f"{store.address}/{name} changed or was damaged while it was downloaded; run again")


@cache
def _check_files(folder: Path) -> None:
    """Raise InputError where a downloaded file is no longer what was downloaded. A process asks once."""
    for name, digest in json.loads((folder / DIGESTS).read_bytes()).items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise InputError(f"{folder / name} is damaged: delete {folder}, and it is downloaded again")


@cache
def check_hub_files(folder: Path) -> None:
    """Raise InputError where a file in the hub's cache differs from the digest that is its name there.

    Large files are named by their sha256, small ones by their digest in git (sha1 over a head and the content).
    """
    for name in _files(folder):
        blob = (folder / name).resolve()
        if re.fullmatch(r"[0-9a-f]{64}", blob.name):
            right = _sha256(blob) == blob.name
        elif re.fullmatch(r"[0-9a-f]{40}", blob.name):
            right = _git_digest(blob) == blob.name
        else:
            continue
        if not right:
            raise InputError(f"{name} in the hub's cache is damaged: delete {blob}, and it is downloaded again")


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_digest(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
