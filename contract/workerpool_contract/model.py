"""What all models of the resource share: frozen, camelCase in YAML and JSON, strict and bounded.

The descriptions of fields are the reference that users read: the CRD generator copies them, so `kubectl explain`
shows them. Numbers are whole: the Kubernetes API conventions keep floating point out of specs.
"""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

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
WorkerName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x20\x7f,]+$")]

TIME_PATTERN = (
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)


def misfit(words: str, *path: str | int) -> PydanticCustomError:
    """The error of a rule between fields: ``words`` for the user, ``path`` from the validated object to the field."""
    return PydanticCustomError("misfit", "{words}", {"words": words, "path": path})


def _time_with_zone(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and re.fullmatch(TIME_PATTERN, value)):
        return value
    msg = f"{value!r} is not a time with a time zone (RFC 3339); write it like 2030-01-31T18:00:00Z"
    raise ValueError(msg)


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_time_with_zone),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 32, "pattern": TIME_PATTERN}),
]


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

    @model_validator(mode="before")
    @classmethod
    def _as_the_api_server_reads(cls, data: Any) -> Any:  # noqa: ANN401 - input of any form
        """A field that is null counts as unset, and 20.0 as the whole number that it is."""
        if not isinstance(data, dict):
            return data
        return {name: _whole(value) for name, value in data.items() if value is not None}


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
