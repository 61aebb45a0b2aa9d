"""The pod of an attempt: what a stage is told, where it may write, and that it may do nothing else."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dto_jobs.endpoint import Endpoint
from dto_jobs.errors import InvalidRunError
from dto_jobs.job_settings import JobSettings, Resources, Volume
from dto_jobs.model_source import CLAIMS, claim_of
from dto_jobs.resource import Spec
from dto_operator import names
from dto_operator.settings import OperatorSettings

Manifest = dict[str, Any]

USER = 65532
"""The numeric user that images without one call `nonroot`."""
SCRATCH = "/scratch"
LARGEST_RUN, LARGEST_ANNOTATION = 200 * 1024, 240 * 1024
"""Bytes of a run that are taken, and that can be handed over: a pod's annotations hold 256 KiB together."""
PUT_INTO_BUCKET = (
    f"a cluster takes {LARGEST_RUN:,}; put the problems into the bucket and name them by "
    "problems.source: s3://bucket/problems.jsonl in place of problems.inline"
)
WRITING_SECONDS = 10
"""What remains of a pod's grace for its last words, once its work is stopped."""


class RunTooLargeError(InvalidRunError):
    """A run is too large to be handed to its preflight."""


@dataclass(frozen=True)
class Work:
    """What one attempt's pods do."""

    arguments: list[str]
    """Of `dto`."""
    environment: dict[str, str]
    """The part of the contract that differs from attempt to attempt."""
    labels: dict[str, str]
    image: str
    resources: Resources
    annotations: dict[str, str]
    subdomain: str | None
    """The Service that gives the pods names."""
    endpoints: tuple[Endpoint, ...] = ()
    """The served models that they ask."""
    reads_models: bool = True
    """They read the run's models, some of which are on volumes."""


def run_annotation(run_object: Manifest) -> str:
    """Return the run as its preflight reads it; RunTooLargeError where that is more than an annotation holds."""
    metadata = {key: run_object["metadata"][key] for key in ("name", "namespace")}
    kept = {key: run_object[key] for key in ("apiVersion", "kind")} | {"metadata": metadata, "spec": run_object["spec"]}
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > LARGEST_ANNOTATION:
        raise RunTooLargeError(f"spec: the run has {size:,} bytes, and {PUT_INTO_BUCKET}")
    return text


def pod_template(spec: Spec, job: JobSettings, work: Work, settings: OperatorSettings) -> Manifest:
    """Return the template of an attempt's pods: restricted as Pod Security's strictest profile wants it."""
    port = settings.stage_metrics_port
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}
    volumes = [*_own_volumes(work), *(_claims(spec) if work.reads_models else ()), *map(_volume, job.volumes)]
    pod: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.grace_seconds,
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Once, not at each start: a volume of models has many files.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_placement(job, work),
        "containers": [
            {
                "name": names.CONTAINER,
                "image": work.image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["dto"],
                "args": work.arguments,
                "env": _environment(spec, job, work, settings),
                **_written({"envFrom": [_written(one) for one in job.env_from]}),
                "ports": [{"name": names.METRICS, "containerPort": port}],
                **_written({"resources": _written(work.resources)}),
                "volumeMounts": [mount for _, mount in volumes],
                "terminationMessagePolicy": "File",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [volume for volume, _ in volumes],
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return {"metadata": {"labels": work.labels, "annotations": scraped | work.annotations}, "spec": pod}


def _written(settings: Any) -> Manifest:  # noqa: ANN401 - a settings class or a dict
    """Return settings as a manifest has them: what is not set is left out."""
    dumped = (
        settings if isinstance(settings, dict) else settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    )
    return {key: value for key, value in dumped.items() if value or (value == 0 and value is not False)}


def _placement(job: JobSettings, work: Work) -> Manifest:
    """Return where the pods go, as far as anybody said."""
    return _written(
        {
            "subdomain": work.subdomain,
            "nodeSelector": dict(job.node_selector),
            "tolerations": [_written(one) for one in job.tolerations],
            "affinity": _written(job.affinity) if job.affinity else None,
            "priorityClassName": job.priority_class_name,
            "runtimeClassName": job.runtime_class_name,
        }
    )


# The environment


def _environment(spec: Spec, job: JobSettings, work: Work, settings: OperatorSettings) -> list[Manifest]:
    """Return the variables: those that a person may set otherwise, then theirs, then those of the contract, each once."""
    port, grace = settings.stage_metrics_port, max(settings.grace_seconds - WRITING_SECONDS, 1)
    usual = {
        # A user without a name: what asks the system for one would fail.
        "USER": "dto",
        "HOME": f"{SCRATCH}/home",
        "XDG_CACHE_HOME": f"{SCRATCH}/cache",
        "HF_HOME": f"{SCRATCH}/cache/huggingface",
        "DTO_SCRATCH": f"{SCRATCH}/work",
    }
    contract = {**work.environment, "DTO_METRICS_PORT": str(port), "DTO_GRACE_SECONDS": str(grace)}
    found = {name: {"name": name, "value": value} for name, value in usual.items()}
    found |= {one.name: _variable(one) for one in job.env}
    found |= {one["name"]: one for one in (*store_variables(spec, settings), *_keys(work))}
    found |= {name: {"name": name, "value": value} for name, value in contract.items()}
    return list(found.values())


def _variable(variable: Any) -> Manifest:  # noqa: ANN401 - a Variable
    dumped: Manifest = variable.model_dump(mode="json", by_alias=True, exclude_none=True)
    for source in dumped.get("valueFrom", {}).values():
        if not source["optional"]:
            del source["optional"]
    return dumped


def store_variables(spec: Spec, settings: OperatorSettings) -> Iterator[Manifest]:
    """Yield where artifacts are, and by which keys: as the run says, else as the operator is set up."""
    own = spec.artifacts
    place, endpoint, secret = settings.store, settings.store_endpoint, settings.store_secret
    if own.bucket:
        place = f"s3://{own.bucket}/{own.prefix}"
        # Keys of the operator's own service are shown to no other.
        endpoint, secret = (own.endpoint, None) if own.endpoint else (endpoint, secret)
        secret = own.secret_ref.name if own.secret_ref else secret
    for name, value in (("DTO_STORE", place), ("DTO_S3_ENDPOINT", endpoint)):
        if value:
            yield {"name": name, "value": value.rstrip("/")}
    if secret:
        yield _secret("AWS_ACCESS_KEY_ID", secret, "accessKey")
        yield _secret("AWS_SECRET_ACCESS_KEY", secret, "secretKey")


def _keys(work: Work) -> Iterator[Manifest]:
    """Yield the keys of the models that are served elsewhere, each in the variable that its endpoint names."""
    for endpoint in work.endpoints:
        if endpoint.secret_ref is not None:
            yield _secret(endpoint.api_key_variable, endpoint.secret_ref.name, "apiKey")


def _secret(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


# The volumes


def _own_volumes(work: Work) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield the folders to write into, each with its mount: all the rest of the file system is read-only."""
    yield _folder("dto-scratch", SCRATCH, {})
    yield _folder("dto-tmp", "/tmp", {})  # noqa: S108 - a folder of the pod's own
    if any("/" in resource for resource in work.resources.limits):
        # Processes that share a device exchange tensors here; a container's own has 64 MiB.
        yield _folder("dto-shm", "/dev/shm", {"medium": "Memory"})  # noqa: S108 - as above
    if names.RUN_FILE in work.annotations:
        field = {"fieldPath": f"metadata.annotations['{names.RUN_FILE}']"}
        volume = {"name": "dto-run", "downwardAPI": {"items": [{"path": "run.json", "fieldRef": field}]}}
        yield volume, {"name": "dto-run", "mountPath": "/etc/dto", "readOnly": True}


def _folder(name: str, path: str, settings: Mapping[str, str]) -> tuple[Manifest, Manifest]:
    return {"name": name, "emptyDir": dict(settings)}, {"name": name, "mountPath": path}


def _claims(spec: Spec) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield the volumes that models are read from, each with its mount."""
    judge, vllm = spec.stages.pruning.judge, spec.engine.vllm
    sources = (spec.model.source, vllm.adapter if vllm else None, judge.model if judge else None)
    for number, claim in enumerate(dict.fromkeys(filter(None, (claim_of(source or "") for source in sources)))):
        name = f"dto-claim-{number}"
        yield (
            {"name": name, "persistentVolumeClaim": {"claimName": claim}},
            {"name": name, "mountPath": f"{CLAIMS}/{claim}", "readOnly": True},
        )


def _volume(volume: Volume) -> tuple[Manifest, Manifest]:
    mount = _written({"name": volume.name, "mountPath": volume.mount_path, "readOnly": volume.read_only})
    if volume.persistent_volume_claim is not None:
        source: Manifest = {"persistentVolumeClaim": {"claimName": volume.persistent_volume_claim.claim_name}}
    elif volume.config_map is not None:
        source = {"configMap": {"name": volume.config_map.name}}
    elif volume.secret is not None:
        source = {"secret": {"secretName": volume.secret.name}}
    else:
        assert volume.empty_dir is not None
        source = {"emptyDir": _written(volume.empty_dir)}
    return {"name": volume.name, **source}, mount
