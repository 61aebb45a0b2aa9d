"""How things on a cluster are named and measured, as far as a run names them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dto_jobs.settings import Settings

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=rf"^{LABEL}$")]
"""Lower-case letters, digits and dashes."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{LABEL}(\.{LABEL})*$")]
"""Name of an object: names joined by dots."""

QualifiedName = Annotated[str, Field(min_length=1, max_length=317, pattern=rf"^({LABEL}(\.{LABEL})*/)?{WORD}$")]
"""Key of a label or name of a resource: `gpu`, `nvidia.com/gpu`."""

LabelValue = Annotated[str, Field(max_length=63, pattern=rf"^({WORD})?$")]
"""Value of a label."""

VariableName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[-._A-Za-z][-._A-Za-z0-9]*$")]
"""Name of an environment variable."""

FileKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._A-Za-z0-9]+$")]
"""Key in a Secret or ConfigMap."""


def _as_text(value: Any) -> Any:  # noqa: ANN401 - what a person wrote, right or wrong
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(
        max_length=32,
        pattern=r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[mkMGTPE]|[eE][0-9]+)?$",
        json_schema_extra={"intOrString": True, "minimum": 0},
    ),
    BeforeValidator(_as_text),
]
"""An amount as Kubernetes writes it: `4`, `500m`, `16Gi`."""


class SecretRef(Settings):
    """A Kubernetes Secret in the run's namespace."""

    name: ObjectName
    """Name of the Secret."""


class ConfigMapRef(Settings):
    """A Kubernetes ConfigMap in the run's namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
