"""DTORun: the resource a person writes. These classes are the single source: run file, CRD and docs follow from them."""

import json
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from dto_jobs.cluster_names import LABEL, LabelValue, Name, QualifiedName, SecretRef
from dto_jobs.core.results import Gate
from dto_jobs.model_source import EngineSource, ModelSource, TransformersEngine
from dto_jobs.pipeline import STAGES_UNTIL, Pipeline, StageName
from dto_jobs.problem_source import ProblemSource
from dto_jobs.rules import Agreement, Rule
from dto_jobs.settings import Settings

API_VERSION = "dto.run/v1alpha1"
KIND = "DTORun"

ByServer = Annotated[Any, Field(default=None, exclude=True)]
"""A field that the API server fills in: there in a manifest that was read back from a cluster, and read past."""


class Metadata(Settings):
    """Kubernetes object metadata, as far as a run file holds it."""

    name: Name
    """Name of the run: lower-case letters, digits and dashes."""
    namespace: Name | None = None
    """Namespace on a cluster."""
    labels: dict[QualifiedName, LabelValue] = Field(default={})
    """Labels on a cluster."""
    annotations: dict[QualifiedName, str] = Field(default={})
    """Annotations on a cluster."""
    generate_name: ByServer
    """Beginning of a name that the API server completes."""
    uid: ByServer
    """Identity on a cluster."""
    resource_version: ByServer
    """Version of the stored object."""
    generation: ByServer
    """Version of the spec."""
    creation_timestamp: ByServer
    """When it was created."""
    deletion_timestamp: ByServer
    """When its deletion was asked for."""
    deletion_grace_period_seconds: ByServer
    """How long deletion waits."""
    finalizers: ByServer
    """What must be done before it goes."""
    owner_references: ByServer
    """What it goes with."""
    managed_fields: ByServer
    """Who set which field."""
    self_link: ByServer
    """Of old API servers."""


class Artifacts(Settings):
    """Where artifacts are kept. Without a bucket: a folder on this machine, the operator's own store on a cluster."""

    bucket: str | None = None
    """Bucket of an S3-compatible store."""
    prefix: str = ""
    """Beginning of every object's name."""
    endpoint: str | None = None
    """URL of the S3-compatible service, also for `s3://` sources; by default $DTO_S3_ENDPOINT, else Amazon's."""
    secret_ref: SecretRef | None = None
    """Secret with the keys `accessKey` and `secretKey`."""
    folder: str | None = None
    """Folder on this machine, relative to the run file."""
    policy: Literal["Retain", "DeleteIntermediates", "DeleteOnRunDeletion"] = "Retain"
    """What becomes of artifacts: `Retain` keeps all. `DeleteIntermediates` removes answers, traces and pairs once the run has
    ended well; model, results, report and receipts stay. `DeleteOnRunDeletion` removes all with the run, on a cluster; on one
    machine `dto discard` does. What another run uses always stays."""


class Budget(Settings):
    """What a run may take before somebody is told. Nothing is stopped by it."""

    gpu_hours: float = Field(gt=0, le=1e6)
    """GPU time of all stages and attempts together, in hours, as `dto_gpu_seconds_total` counts it."""


class Spec(Settings):
    """What a run does."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "rerunFrom names a stage that is no part of the run as `until` cuts it; name an earlier stage, or a later `until`",
            lambda spec: not (spec.rerun_from and spec.until) or spec.rerun_from in STAGES_UNTIL[spec.until],
            f"!has(self.rerunFrom) || !has(self.until) || self.rerunFrom in {json.dumps(STAGES_UNTIL)}[self.until]",
        ),
        Rule(
            "queuePolicy WholeRun needs a queue; add queueName, or leave queuePolicy out",
            lambda spec: spec.queue_policy == "PerStage" or spec.queue_name is not None,
            "self.queuePolicy == 'PerStage' || has(self.queueName)",
        ),
        Rule(
            "engine.openai serves the base model only, so the tuned one cannot be evaluated; set until to pairs (analysis), "
            "training or baseline, or name another engine",
            lambda spec: spec.engine.openai is None or spec.until not in {None, "evaluation"},
            "!has(self.engine) || !has(self.engine.openai) || (has(self.until) && self.until != 'evaluation')",
        ),
    )

    model: ModelSource
    """The model to optimize."""
    problems: ProblemSource
    """Problems with checkable answers, to learn from."""
    artifacts: Artifacts = Artifacts()
    """Where artifacts are kept."""
    engine: EngineSource = EngineSource(transformers=TransformersEngine())
    """What completes texts."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Seed of every chance in the run."""
    stages: Pipeline = Pipeline()
    """Settings of the stages."""
    gate: Gate = Gate()
    """When the tuned model counts as accepted."""
    until: StageName | None = None
    """Last stage to run; `pairs` gives the analysis-only run: how much is overthought, and what would optimizing save?"""
    suspend: bool = Field(default=False, exclude=True)
    """Stop at the next safe point and free the GPUs; false goes on. On a cluster only."""
    queue_name: Name | None = Field(default=None, exclude=True)
    """Kueue's local queue that admits the run's Jobs. On a cluster only."""
    queue_policy: Literal["PerStage", "WholeRun"] = Field(default="PerStage", exclude=True)
    """`PerStage` queues each Job when its stage starts; `WholeRun`, one place for the whole run, is refused by this version."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=2**31 - 1, exclude=True)
    """The run is deleted so long after it finished; never if absent. On a cluster only."""
    budget: Budget | None = Field(default=None, exclude=True)
    """What the run may take before the alert DtoBudgetOverrun tells of it. On a cluster only."""
    rerun_from: StageName | None = Field(default=None, exclude=True)
    """Make this stage's artifact and all later ones anew, even where they are there. On a cluster; `dto run --from` here."""
    managed_by: str | None = Field(
        default=None, max_length=63, pattern=rf"^{LABEL}(\.{LABEL})*/[A-Za-z0-9][-A-Za-z0-9._]*$", exclude=True
    )
    """Another controller that works on the run, such as `kueue.x-k8s.io/multikueue`; this operator then leaves it alone."""


class DTORun(Settings):
    """A run of Dynamic Thinking-pattern Optimization."""

    api_version: Literal["dto.run/v1alpha1"]
    """Version of this form."""
    kind: Literal["DTORun"]
    """What this is."""
    metadata: Metadata
    """Name and labels."""
    spec: Spec
    """What the run does."""
    status: dict[str, Any] | None = Field(default=None, exclude=True)
    """Written by the operator; ignored in a run file."""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.metadata.name


STAGE_NAMES: tuple[str, ...] = get_args(StageName)
