"""What all models of the resource share: frozen, camelCase in YAML and JSON, strict and bounded.

The descriptions of fields are the reference that users read: the CRD generator copies them, so `kubectl explain`
shows them. Numbers are whole: the Kubernetes API conventions keep floating point out of specs.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints
from pydantic.alias_generators import to_camel

MAX_REPLICAS = 1000
DAY_SECONDS = 86_400

Replicas = Annotated[int, Strict(), Field(ge=0, le=MAX_REPLICAS)]
Seconds = Annotated[int, Strict(), Field(ge=0, le=7 * DAY_SECONDS)]
PositiveSeconds = Annotated[int, Strict(), Field(ge=1, le=7 * DAY_SECONDS)]
Port = Annotated[int, Strict(), Field(ge=1, le=65_535)]

PoolName = Annotated[str, StringConstraints(max_length=52, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
SecretKey = Annotated[str, StringConstraints(max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
QueueName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
ModuleName = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
]
WorkerName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s,]+$")]


class Model(BaseModel):
    """Base of every model in the resource. Raises pydantic.ValidationError for a bad or unknown field."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=False,
        validate_default=False,
    )
