"""What the operator is told by its environment: the one place that reads it. The chart sets these variables."""

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OperatorSettings(BaseModel):
    """Settings of the operator, each by an environment variable `DTO_OPERATOR_…`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    namespaces: tuple[str, ...] = ()
    """Namespaces to watch, comma-separated; all of the cluster if empty."""
    jobs_image: str = "ghcr.io/dto-operator/jobs:0.1.0"
    """Image of stages that name none of their own."""
    image_pull_policy: str = "IfNotPresent"
    """When kubelets pull it."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets for pulling, in each run's namespace, comma-separated."""
    service_account: str = "default"
    """ServiceAccount of stage pods; it needs no right, and no token of it is mounted."""
    store: str | None = None
    """Store of runs that name no bucket: `s3://bucket/prefix`."""
    store_endpoint: str | None = None
    """URL of that store's S3-compatible service."""
    store_secret: str | None = None
    """Secret with its `accessKey` and `secretKey`, in each run's namespace."""
    steps_cpu: str = "500m"
    """CPU that preflight, results and collecting ask for."""
    steps_memory: str = "1Gi"
    """Memory that they ask for, and may not exceed."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of `/metrics`, `/healthz` and `/readyz`; 0 for any free one."""
    stage_metrics_port: Annotated[int, Field(ge=1, le=65535)] = 9090
    """Port on which stage pods show `/metrics` and how far they are."""
    discard_seconds: Annotated[float, Field(ge=1)] = 600.0
    """What a run that is deleted has in the bucket (`artifacts.policy: DeleteOnRunDeletion`) is to be removed within so long;
    then the run goes, and its artifacts stay."""
    grace_seconds: Annotated[int, Field(ge=5)] = 60
    """How long a pod that is to end may take to commit what it is at."""
    resync_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Every run is looked at again so often, whatever events came."""
    progress_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Progress of a run at work is written at most so often."""
    watch_seconds: Annotated[int, Field(ge=1)] = 60
    """A watch is ended by the server and begun anew after so long; silence for longer is noticed."""
    leader_election: bool = False
    """Several replicas, of which the one that holds the Lease works."""
    lease_seconds: Annotated[int, Field(ge=3)] = 15
    """How long a Lease holds without being renewed."""
    lease_namespace: str = "default"
    """Namespace of the Lease: the operator's own."""
    identity: str = ""
    """Name of this replica: the pod's."""
    requests_per_second: Annotated[float, Field(gt=0)] = 50.0
    """Requests that this operator sends to the API server at most, on average."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""


PREFIX = "DTO_OPERATOR_"


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Return the settings that `DTO_OPERATOR_…` variables hold; pydantic's ValidationError names one that is wrong."""
    found: dict[str, object] = {}
    for name, field in OperatorSettings.model_fields.items():
        text = environment.get(PREFIX + name.upper())
        if text:
            several = field.annotation == tuple[str, ...]
            found[name] = tuple(part.strip() for part in text.split(",") if part.strip()) if several else text
    return OperatorSettings.model_validate(found)
