"""Models that others serve: where they are, and how patient to be with them."""

from pydantic import Field

from dto_jobs.cluster_names import SecretRef
from dto_jobs.settings import Settings


class Endpoint(Settings):
    """An OpenAI-compatible endpoint."""

    url: str = Field(pattern=r"^https?://.+")
    """Base URL, ending in /v1 as a rule."""
    model: str = Field(min_length=1)
    """Model name the endpoint knows."""
    secret_ref: SecretRef | None = None
    """Secret with the key `apiKey`, which a cluster's pods get as the environment variable named below."""
    api_key_variable: str = Field(default="DTO_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the API key; without it the endpoint is asked without a key."""
    concurrency: int = Field(default=32, ge=1, le=4096)
    """Requests under way at the same time."""
    timeout_seconds: float = Field(default=600, gt=0)
    """Longest wait for one answer; then it is asked for again."""
    patience_seconds: float = Field(default=900, ge=0)
    """How long an endpoint that is busy, broken or out of reach is asked again, from a request's first failure on."""
