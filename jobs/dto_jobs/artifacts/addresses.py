"""Addresses of stores: `s3://bucket/prefix`, or a folder."""

import re
from pathlib import Path
from typing import NamedTuple

from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.artifacts.store import Store
from dto_jobs.errors import InputError, MissingExtraError, StoreError
from dto_jobs.settings import s3_from_environment, scratch_from_environment

SCHEME = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Place(NamedTuple):
    """A bucket and a name, or the beginning of names, in it."""

    bucket: str
    name: str


def place(address: str) -> Place:
    """Return what an `s3://` address names; InputError where it names no bucket."""
    bucket, _, name = address.removeprefix(SCHEME).partition("/")
    if not BUCKET.fullmatch(bucket):
        raise InputError(
            f"{address}: {bucket!r} is no name of a bucket (3 to 63 lower-case letters, digits, dots and dashes); "
            "write s3://bucket/prefix"
        )
    return Place(bucket, name)


def open_store(address: str | Path, endpoint: str | None = None) -> Store:
    """Return the store at an address; `endpoint` goes before the environment's. MissingExtraError without the S3 library."""
    if isinstance(address, Path) or not address.startswith(SCHEME):
        if "://" in str(address):
            raise InputError(f"the store {address}: only {SCHEME}bucket/prefix and folders are known")
        if Path(address).is_file():
            raise StoreError(f"the store {address} is a file: name a folder, or {SCHEME}bucket/prefix")
        return FolderStore(Path(address))
    try:
        from dto_jobs.artifacts.s3 import S3Store  # noqa: PLC0415 - whoever keeps a folder needs no S3 library
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{address} needs the library {error.name}; install it with: pip install 'dto-operator[jobs]'"
        ) from error
    bucket, prefix = place(address)
    return S3Store(s3_from_environment(endpoint), bucket, prefix)


def scratch(store: Store) -> Path:
    """Return the folder for what is only needed while working."""
    return Path(store.address) / "scratch" if isinstance(store, FolderStore) else scratch_from_environment()
