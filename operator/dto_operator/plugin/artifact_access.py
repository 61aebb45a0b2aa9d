"""A run's artifacts from outside its cluster: where they are, with whose keys, looked at by `dto` as anywhere else.

The operator's side knows no bucket, and so does the plugin: it tells `dto` the store, the run's folder and the keys.
"""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from dto_jobs.errors import DtoError, InputError, InvalidRunError, MissingExtraError, StoreError
from dto_operator.plugin.kubectl import ApiServerError, Kubectl
from dto_operator.stored_run import group, identity

KEYS = {"AWS_ACCESS_KEY_ID": "accessKey", "AWS_SECRET_ACCESS_KEY": "secretKey"}
"""The variables that `dto` reads, and where a run's Secret holds them."""
KINDS = {kind.exit_code: kind for kind in (InvalidRunError, InputError, StoreError, MissingExtraError)}
"""Errors of `dto`, by the exit code that tells them apart."""
PATIENCE = "10"
"""Seconds for an endpoint to answer; a stage waits longer, a person would rather know."""


def store_of(run: Mapping[str, Any]) -> str | None:
    """Return the address of a run's store; None where the run names none: the operator's own."""
    own = group(run, "spec", "artifacts")
    bucket = own.get("bucket")
    return f"s3://{bucket}/{own.get('prefix') or ''}".rstrip("/") if bucket else None


def address_of(run: Mapping[str, Any], uri: str) -> str:
    """Return an artifact's place as a person can use it: with its store, where the run names one."""
    store = store_of(run)
    return uri if store is None or "://" in uri else f"{store}/{uri}"


def ask_dto(kubectl: Kubectl, run: Mapping[str, Any], words: list[str], store: str | None, endpoint: str | None) -> str:
    """Return what `dto` says about a run's artifacts; `RUN` among the words stands for the run's folder in its store."""
    which = identity(run)
    place = store or store_of(run)
    if place is None:
        raise InputError(
            f"the run {which.name} names no bucket, so its artifacts are in the operator's own store; "
            "name it with --store s3://bucket/prefix, and its service with --endpoint"
        )
    command = [sys.executable, "-m", "dto_jobs", *(which.uid if word == "RUN" else word for word in words)]
    environment = dict(kubectl.environment) | _access(kubectl, run, place, endpoint)
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--store", place], check=False, capture_output=True, text=True, env=environment
    )
    if done.returncode == 0:
        return done.stdout
    text = done.stderr.strip().removeprefix("error: ").replace(which.uid, which.name)
    if done.returncode == StoreError.exit_code:
        reached = environment.get("DTO_S3_ENDPOINT", "the default endpoint")
        raise StoreError(
            f"{text}\n{reached} is the run's address in its cluster; from outside, forward it "
            "(kubectl port-forward service/NAME 9000) and name it: --endpoint http://127.0.0.1:9000"
        )
    raise KINDS.get(done.returncode, DtoError)(text)


def _access(kubectl: Kubectl, run: Mapping[str, Any], place: str, endpoint: str | None) -> dict[str, str]:
    """Return the variables by which `dto` reaches a store. The caller's own keys go before those of the run's Secret."""
    if not place.startswith("s3://"):
        return {}
    given = kubectl.environment
    own = group(run, "spec", "artifacts")
    found = {"DTO_S3_PATIENCE": given.get("DTO_S3_PATIENCE") or PATIENCE}
    service = endpoint or given.get("DTO_S3_ENDPOINT") or own.get("endpoint")
    if service:
        found["DTO_S3_ENDPOINT"] = str(service)
    secret = group(own, "secretRef").get("name")
    if all(given.get(variable) for variable in KEYS) or not secret:
        return found
    try:
        held = kubectl.secret(str(secret))
    except ApiServerError as error:
        raise ApiServerError(
            f"the keys are in the Secret {secret!r}, which you may not read ({error}); "
            f"set {' and '.join(f'${variable}' for variable in KEYS)}"
        ) from error
    missing = [key for key in KEYS.values() if key not in held]
    if missing:
        raise InputError(f"the Secret {secret!r} has no {' and no '.join(missing)}")
    return found | {variable: held[key] for variable, key in KEYS.items()}
