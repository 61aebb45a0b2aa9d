"""How a stage's Jobs look on a cluster. A run on one machine reads past all of this, and no result depends on it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dto_jobs.cluster_names import (
    ConfigMapRef,
    FileKey,
    LabelValue,
    Name,
    ObjectName,
    QualifiedName,
    Quantity,
    SecretRef,
    VariableName,
)
from dto_jobs.rules import Agreement, ExactlyOne, Rule
from dto_jobs.settings import Named, Settings

GPU = "nvidia.com/gpu"

Amounts = Annotated[dict[QualifiedName, Quantity], Field(max_length=16)]
Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Resources(Settings):
    """What a container asks for and may use."""

    requests: Amounts = Field(default={}, examples=[{"cpu": 4, "memory": "16Gi"}])
    """What the scheduler sets aside; by default the limits."""
    limits: Amounts = Field(default={}, examples=[{"nvidia.com/gpu": 1, "memory": "32Gi"}])
    """What the container may not exceed; GPUs are named here."""


class Toleration(Settings):
    """A taint that the pods accept."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "operator Exists takes no value; leave `value` out or write operator: Equal",
            lambda it: it.operator == "Equal" or not it.value,
            "self.operator == 'Equal' || !has(self.value) || self.value == ''",
        ),
        Rule(
            "operator Equal needs a key; name it, or write operator: Exists to tolerate every taint",
            lambda it: it.operator == "Exists" or it.key is not None,
            "self.operator == 'Exists' || has(self.key)",
        ),
        Rule(
            "tolerationSeconds goes with effect: NoExecute alone",
            lambda it: it.toleration_seconds is None or it.effect == "NoExecute",
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        ),
    )

    key: QualifiedName | None = None
    """The taint's key; all keys if absent."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal` compares the value, `Exists` takes any."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; all effects if absent."""
    toleration_seconds: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """How long a pod stays after the taint came; for ever if absent."""


class Affinity(Settings):
    """Which nodes and neighbours the pods want; each part is written as in a pod."""

    node_affinity: dict[str, Any] | None = None
    """Nodes, by their labels: `nodeAffinity` of a pod."""
    pod_affinity: dict[str, Any] | None = None
    """Pods to be near: `podAffinity` of a pod."""
    pod_anti_affinity: dict[str, Any] | None = None
    """Pods to keep away from: `podAntiAffinity` of a pod."""


class SecretKey(SecretRef):
    """One key of a Secret."""

    key: FileKey
    """Key in the Secret."""
    optional: bool = False
    """Start the container even if the key is missing."""


class ConfigMapKey(ConfigMapRef):
    """One key of a ConfigMap."""

    key: FileKey
    """Key in the ConfigMap."""
    optional: bool = False
    """Start the container even if the key is missing."""


class VariableSource(Settings):
    """Where a variable's value is read."""

    rules: ClassVar[tuple[Agreement, ...]] = (ExactlyOne("name either secretKeyRef or configMapKeyRef"),)

    secret_key_ref: SecretKey | None = None
    """A key of a Secret."""
    config_map_key_ref: ConfigMapKey | None = None
    """A key of a ConfigMap."""


class Variable(Settings):
    """An environment variable."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        ExactlyOne("give the variable either a value or a valueFrom", ("value", "value_from")),
    )

    name: VariableName
    """Name of the variable."""
    value: str | None = Field(default=None, max_length=32_768)
    """Its value. Secrets do not belong here: everyone who may read the run can read this."""
    value_from: VariableSource | None = None
    """Where its value is read."""


class VariablesFrom(Settings):
    """Environment variables from all keys of a Secret or ConfigMap."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        ExactlyOne("name either secretRef or configMapRef", ("secret_ref", "config_map_ref")),
    )

    prefix: str = Field(default="", max_length=128, pattern=r"^([-._A-Za-z][-._A-Za-z0-9]*)?$")
    """Put before every name."""
    secret_ref: SecretRef | None = None
    """The Secret."""
    config_map_ref: ConfigMapRef | None = None
    """The ConfigMap."""


class Claim(Settings):
    """A PersistentVolumeClaim in the run's namespace."""

    claim_name: ObjectName
    """Name of the claim."""


class EmptyFolder(Settings):
    """A folder that lives as long as the pod."""

    medium: Literal["", "Memory"] = ""
    """`Memory` for a RAM disk, which counts against the container's memory."""
    size_limit: Quantity | None = None
    """Most bytes it may hold."""


class Volume(Settings):
    """A folder that is mounted into the container, such as a cache of models."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        ExactlyOne(
            "name exactly one of persistentVolumeClaim, emptyDir, configMap and secret",
            ("persistent_volume_claim", "empty_dir", "config_map", "secret"),
        ),
    )

    name: Name
    """Name of the volume."""
    mount_path: str = Field(min_length=1, max_length=256, pattern=r"^/[^:]*$", examples=["/models"])
    """Where the container sees it."""
    read_only: bool = False
    """The container may not write to it."""
    persistent_volume_claim: Claim | None = None
    """Storage that outlives the pod: the right place for models."""
    empty_dir: EmptyFolder | None = None
    """A folder that lives as long as the pod."""
    config_map: ConfigMapRef | None = None
    """Files from a ConfigMap."""
    secret: SecretRef | None = None
    """Files from a Secret, such as a certificate."""


class Retry(Settings):
    """How often a stage is tried again before the run fails."""

    application: int = Field(default=2, ge=0, le=100)
    """After its own failures: a crash, out of memory, an error it reports."""
    infrastructure: int = Field(default=20, ge=0, le=1000)
    """After losses that are not its fault: preemption, eviction, a dead node."""


class JobSettings(Settings):
    """The Jobs of a stage on a cluster. A run on one machine reads past it, and results do not depend on it."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "two volumes have the same mountPath; give each a place of its own",
            lambda job: len({volume.mount_path for volume in job.volumes}) == len(job.volumes),
            "self.volumes.all(one, self.volumes.exists_one(other, other.mountPath == one.mountPath))",
        ),
    )

    image: str | None = Field(default=None, max_length=512, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:/@]*$")
    """Container image; the operator's default for jobs if absent."""
    resources: Resources = Resources()
    """What each container asks for and may use."""
    node_selector: dict[QualifiedName, LabelValue] = Field(default={}, max_length=32)
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that the pods accept."""
    affinity: Affinity | None = None
    """Which nodes and neighbours the pods want."""
    priority_class_name: ObjectName | None = None
    """Priority of the pods."""
    runtime_class_name: ObjectName | None = None
    """Container runtime, such as `nvidia`."""
    env: Named[Variable] = Field(default=(), max_length=128)
    """Environment variables."""
    env_from: tuple[VariablesFrom, ...] = Field(default=(), max_length=32)
    """Environment variables from all keys of Secrets and ConfigMaps."""
    volumes: Named[Volume] = Field(default=(), max_length=16)
    """Folders that are mounted into the container, such as a cache of models."""
    active_deadline_seconds: Seconds | None = None
    """An attempt that takes longer is ended and counts as failed; no limit if absent."""
    retry: Retry = Retry()
    """How often the stage is tried again."""
    cache: bool = True
    """Take an artifact that an earlier run made from the same code, settings, inputs and model, in place of making it again."""

    @property
    def asked(self) -> Resources:
        """What each container asks for in all."""
        return self.resources


class ShardedJobSettings(JobSettings):
    """The Jobs of a stage that can be cut into shards, each a pod with its own engine."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        *JobSettings.rules,
        Rule(
            "parallelism is larger than shards; at most all shards can work at the same time",
            lambda job: job.parallelism is None or job.parallelism <= job.shards,
            "!has(self.parallelism) || self.parallelism <= self.shards",
        ),
    )

    shards: int = Field(default=1, ge=1, le=10_000)
    """Pods that share the stage's inputs."""
    parallelism: int | None = Field(default=None, ge=1, le=10_000)
    """Shards at work at the same time; all of them if absent."""


class TrainingJobSettings(JobSettings):
    """The Job of a training, on one node or several."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        *JobSettings.rules,
        Rule(
            f"gpusPerNode and resources.limits both name {GPU}; say it once, by gpusPerNode",
            lambda job: job.gpus_per_node is None or GPU not in job.resources.limits,
            f"!has(self.gpusPerNode) || !('{GPU}' in self.resources.limits)",
        ),
    )

    nodes: int = Field(default=1, ge=1, le=256)
    """Pods that train together, one per node."""
    gpus_per_node: int | None = Field(default=None, ge=1, le=64)
    """GPUs, and by that processes, of each; as `resources.limits` says if absent."""

    @property
    def asked(self) -> Resources:
        """What each container asks for in all, GPUs included."""
        if self.gpus_per_node is None:
            return self.resources
        limits = {**self.resources.limits, GPU: str(self.gpus_per_node)}
        return self.resources.model_copy(update={"limits": limits})
