"""Where a judge's verdicts come from."""

from pydantic import Field, model_validator

from dto_jobs.settings import Settings


class SecretRef(Settings):
    """A Kubernetes Secret in the run's namespace."""

    name: str = Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    """Name of the Secret."""


class Endpoint(Settings):
    """An OpenAI-compatible endpoint."""

    url: str = Field(pattern=r"^https?://.+")
    """Base URL, ending in /v1 as a rule."""
    model: str = Field(min_length=1)
    """Model name the endpoint knows."""
    secret_ref: SecretRef | None = None
    """Secret with the key `apiKey`."""


class JudgeSource(Settings):
    """Who judges: a served model, or a second model in the same Job."""

    endpoint: Endpoint | None = None
    """A served model."""
    model: str | None = None
    """Source of a second model, loaded beside the first."""

    @model_validator(mode="after")
    def _one_source(self) -> "JudgeSource":
        if (self.endpoint is None) == (self.model is None):
            raise ValueError("name either an endpoint or a model; leave `judge` out to prune without a judge")
        return self
