"""A DTORun as the API server holds it: read whole where it is valid, and as far as it goes where it is not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from dto_jobs.errors import InvalidRunError
from dto_jobs.resource import DTORun
from dto_jobs.run_file import parse_run
from dto_operator.status import Status

KEPT = 1024
"""Specs and statuses that are kept as they were read, some 25 KiB each: runs are looked at more often than they change."""
EPOCH = datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True)
class Invalid:
    """What is wrong with a run's spec."""

    path: str
    """The first field that is wrong: `spec.stages.exits.threshold`."""
    message: str
    """Everything that is wrong, a line each, with the remedies."""


@dataclass(frozen=True)
class Identity:
    """Which object it is; known of every object, valid or not."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    finalizers: tuple[str, ...]
    deleted: datetime | None
    """When its deletion was asked for."""
    managed_by: str | None
    """Another controller that works on the run."""


def identity(held: Mapping[str, Any]) -> Identity:
    """Return which object the API server holds."""
    metadata = group(held, "metadata")
    return Identity(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "default")),
        uid=str(metadata.get("uid", "")),
        generation=number(metadata, "generation"),
        created=moment(metadata.get("creationTimestamp")) or EPOCH,
        deleting=bool(metadata.get("deletionTimestamp")),
        finalizers=tuple(map(str, items(metadata, "finalizers"))),
        deleted=moment(metadata.get("deletionTimestamp")),
        managed_by=str(group(held, "spec").get("managedBy") or "") or None,
    )


def spec_of(held: Mapping[str, Any]) -> DTORun | Invalid:
    """Return the run that a person wrote, or what is wrong with it."""
    metadata = group(held, "metadata")
    written = {key: part for key, part in held.items() if key not in {"status", "metadata"}}
    # What a server changes all the time tells nothing of the spec, which was read before as a rule.
    kept = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
    return _spec_of(json.dumps({**written, "metadata": kept}, default=str, sort_keys=True))


@lru_cache(maxsize=KEPT)
def _spec_of(text: str) -> DTORun | Invalid:
    try:
        return parse_run(json.loads(text), "the run")
    except InvalidRunError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        found = lines[1:] or lines
        return Invalid(path=found[0].partition(":")[0] if lines[1:] else "spec", message="\n".join(found))


def status_of(held: Mapping[str, Any]) -> Status:
    """Return what the status says; a part that this version cannot read is read past, and takes no other with it.

    A status that was thrown away whole would start a finished run again.
    """
    return _status_of(json.dumps(group(held, "status"), default=str))


@lru_cache(maxsize=KEPT)
def _status_of(text: str) -> Status:
    status = json.loads(text)
    while True:
        try:
            return Status.model_validate_json(json.dumps(status, default=str))
        except ValidationError as error:
            status = _without(status, error.errors(include_url=False)[0]["loc"])


def _without(status: dict[str, Any], place: tuple[int | str, ...]) -> dict[str, Any]:
    """Return the status without what stands at a place: one of a list's items, or a field of the whole."""
    key, number = str(place[0]), place[1] if len(place) > 1 else None
    held = status[key]
    left = {name: part for name, part in status.items() if name != key}
    if isinstance(held, list) and isinstance(number, int):
        return {**left, key: held[:number] + held[number + 1 :]}
    return left


def group(held: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the mapping under a path; an empty one where there is none."""
    found: Any = held
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def items(held: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list under a key; an empty one where there is none."""
    found = held.get(key)
    return list(found) if isinstance(found, list | tuple) else []


def number(held: Mapping[str, Any], key: str, default: int = 0) -> int:
    """Return the whole number under a key, also where it is written as text."""
    try:
        return int(held.get(key, default))
    except (TypeError, ValueError):
        return default


def moment(text: object) -> datetime | None:
    """Return the time that an API server wrote."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
