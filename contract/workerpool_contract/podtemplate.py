"""`spec.worker.podTemplate`: the parts of a partial PodTemplateSpec that can be checked before Kubernetes sees it.

Whatever isn't named here is left to Kubernetes, which knows its own fields best. A null is kept where it stands: it
removes what the operator would generate.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, WrapValidator, model_validator
from pydantic.functional_serializers import PlainSerializer
from pydantic.functional_validators import ModelWrapValidatorHandler

from workerpool_contract.model import Model, misfit

LabelKey = Annotated[
    str,
    StringConstraints(
        max_length=317, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
PartName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
KEEPS_NULL: dict[str, Any] = {"nullable": True}


class Open(Model):
    """A group of which only some fields are checked; other fields and nulls stay as they are."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _as_the_api_server_reads(cls, data: Any) -> Any:  # noqa: ANN401 - input of any form
        return data


class Variable(Open):
    """One environment variable."""

    name: PartName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=131_072)] | None = Field(
        default=None, json_schema_extra=KEEPS_NULL, description="Its value, as text; put numbers in quotes."
    )


class Mount(Open):
    """One volume inside the container."""

    name: PartName = Field(description="Name of the volume.")


class Container(Open):
    """Changes to a container, found by its name, or one more container."""

    name: PartName = Field(description="runner for the runner's own container; another name adds a container.")
    env: tuple[Variable, ...] | None = Field(
        default=None, max_length=512, json_schema_extra=KEEPS_NULL, description="Environment variables, merged by name."
    )
    volume_mounts: tuple[Mount, ...] | None = Field(
        default=None, max_length=128, json_schema_extra=KEEPS_NULL, description="Where volumes appear, merged by path."
    )
    resources: dict[str, Any] | None = Field(
        default=None, json_schema_extra=KEEPS_NULL, description="Requests and limits of CPU and memory."
    )


class Volume(Open):
    """One volume of the pod."""

    name: PartName = Field(description="Name that volumeMounts refer to.")


class PodSpec(Open):
    """The pod's spec, as far as it is checked here; every other field of a PodSpec may stand beside these."""

    containers: tuple[Container, ...] | None = Field(
        default=None, max_length=32, json_schema_extra=KEEPS_NULL, description="Containers, merged by name."
    )
    init_containers: tuple[Container, ...] | None = Field(
        default=None, max_length=32, json_schema_extra=KEEPS_NULL, description="Containers that run before, by name."
    )
    volumes: tuple[Volume, ...] | None = Field(
        default=None, max_length=128, json_schema_extra=KEEPS_NULL, description="Volumes of the pod, merged by name."
    )
    node_selector: dict[str, str | None] | None = Field(
        default=None, max_length=64, json_schema_extra=KEEPS_NULL, description="Labels that a node must carry."
    )
    tolerations: tuple[dict[str, Any], ...] | None = Field(
        default=None, max_length=128, json_schema_extra=KEEPS_NULL, description="Taints of nodes that do not repel."
    )
    affinity: dict[str, Any] | None = Field(
        default=None, json_schema_extra=KEEPS_NULL, description="Which nodes and pods to be near or far from."
    )
    security_context: dict[str, Any] | None = Field(
        default=None, json_schema_extra=KEEPS_NULL, description="User, group and rights of the whole pod."
    )
    service_account_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, json_schema_extra=KEEPS_NULL, description="ServiceAccount that the pods run as."
    )
    termination_grace_period_seconds: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Not to be set: the operator derives it from worker.drainTimeoutSeconds.",
    )

    @model_validator(mode="after")
    def _grace_is_derived(self) -> "PodSpec":
        if self.termination_grace_period_seconds is not None:
            raise misfit(GRACE_IS_DERIVED, "terminationGracePeriodSeconds")
        return self


GRACE_IS_DERIVED = (
    "terminationGracePeriodSeconds is derived from the drain timeout; set spec.worker.drainTimeoutSeconds instead"
)


class PodMetadata(Model):
    """Labels and annotations for the pods."""

    labels: dict[str, LabelValue | None] | None = Field(
        default=None, max_length=64, json_schema_extra=KEEPS_NULL, description="Labels added to the pods."
    )
    annotations: dict[str, str | None] | None = Field(
        default=None, max_length=64, json_schema_extra=KEEPS_NULL, description="Annotations added to the pods."
    )


class PodTemplate(Model):
    """Only metadata and spec; containers, volumes and the like belong under spec."""

    metadata: PodMetadata | None = Field(default=None, description="Labels and annotations of the pods.")
    spec: PodSpec | None = Field(
        default=None, description="Partial PodSpec: containers, volumes, nodeSelector, tolerations, affinity and so on."
    )


def _checked(value: Any, check: ModelWrapValidatorHandler[PodTemplate]) -> Any:  # noqa: ANN401 - a document
    """The document itself, once the model has read it."""
    check(value)
    return {key: part for key, part in value.items() if part is not None} if isinstance(value, dict) else value


if TYPE_CHECKING:
    PodTemplateDocument = dict[str, Any]
else:
    PodTemplateDocument = Annotated[
        PodTemplate, WrapValidator(_checked), PlainSerializer(lambda value: value, return_type=dict[str, Any])
    ]
