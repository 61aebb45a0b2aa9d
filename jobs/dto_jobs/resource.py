"""DTORun: the resource a person writes. These classes are the single source: run file, CRD and docs follow from them."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from dto_jobs.core.results import Gate
from dto_jobs.endpoint import SecretRef
from dto_jobs.model_source import EngineSource, ModelSource, TransformersEngine
from dto_jobs.pipeline import Pipeline, StageName
from dto_jobs.problem_source import ProblemSource
from dto_jobs.settings import Settings

API_VERSION = "dto.run/v1alpha1"
KIND = "DTORun"

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class Metadata(Settings):
    """Kubernetes object metadata, as far as a run file holds it."""

    name: Name
    """Name of the run: lower-case letters, digits and dashes."""
    namespace: str | None = None
    """Namespace on a cluster."""
    labels: dict[str, str] = Field(default={})
    """Labels on a cluster."""
    annotations: dict[str, str] = Field(default={})
    """Annotations on a cluster."""


class Artifacts(Settings):
    """Where artifacts are kept. Without a bucket: a folder on this machine."""

    bucket: str | None = None
    """Bucket of an S3-compatible store."""
    prefix: str = ""
    """Beginning of every object's name."""
    endpoint: str | None = None
    """URL of the S3-compatible store."""
    secret_ref: SecretRef | None = None
    """Secret with the keys `accessKey` and `secretKey`."""
    folder: str | None = None
    """Folder on this machine, relative to the run file."""


class Spec(Settings):
    """What a run does."""

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


class DTORun(Settings):
    """A run of Dynamic Thinking-pattern Optimization."""

    api_version: Literal["dto.run/v1alpha1"]
    kind: Literal["DTORun"]
    metadata: Metadata
    spec: Spec
    status: dict[str, Any] | None = Field(default=None, exclude=True)
    """Written by the operator; ignored in a run file."""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.metadata.name


STAGE_NAMES: tuple[str, ...] = get_args(StageName)
