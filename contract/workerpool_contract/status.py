"""`status` of a WorkerPool: what was seen, what was decided and why, and the memory that the next decision needs.

Decisions must survive a restart, so `history` lives here and not in a process. Nothing in it moves by itself: a pool
whose backlog and size do not change keeps the same status, and so causes no writes.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from workerpool_contract.model import Model

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=1024)]


class ConditionType(StrEnum):
    """What a condition speaks of."""

    READY = "Ready"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"
    STALLED = "Stalled"


class ConditionStatus(StrEnum):
    """Truth of a condition; Unknown until the first look."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One condition in the manner of Kubernetes; the list is keyed by ``type``."""

    type: ConditionType = Field(description="Ready, ScalingActive, ScalingLimited or Stalled.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]+$")] = Field(
        description="One word for programs, for example AtMaximum or BacklogUnknown."
    )
    message: Text = Field(default="", description="The same in words, for people.")
    observed_generation: Count = Field(default=0, description="Generation of the spec that this condition speaks of.")
    last_transition_time: AwareDatetime | None = Field(default=None, description="When status last changed.")


class BacklogSummary(Model):
    """The last successful reading of the queue."""

    ready: Count = Field(description="Jobs that a runner could claim now.")
    in_flight: Count | None = Field(default=0, description="Jobs that a runner holds; unset while unknown.")
    delayed: Count | None = Field(default=0, description="Jobs due later, retries included; unset while unknown.")
    dead: Count = Field(default=0, description="Dead letters kept.")
    oldest_age_seconds: Count | None = Field(default=None, description="Age of the oldest ready job, in seconds.")
    truncated: bool = Field(
        default=False, description="Counting stopped at the reader's limit: ready is at least this."
    )


class Mark(Model):
    """A recommendation that held until ``at`` (Unix time in milliseconds)."""

    at: int = Field(description="Unix time in milliseconds.")
    replicas: Count = Field(description="The recommended number.")


class Change(Model):
    """A change of the replica count at ``at`` (Unix time in milliseconds)."""

    at: int = Field(description="Unix time in milliseconds.")
    delta: int = Field(description="Replicas added (positive) or removed (negative).")


class History(Model):
    """What one decision leaves for the next.

    ``recommendation`` is the newest one and still holds; ``peaks`` and ``troughs`` are older ones that the windows for
    scaling down and up may still need (dominated ones are dropped, so the lists stay short).
    """

    recommendation: Count | None = Field(default=None, description="The newest recommendation; unset before the first.")
    peaks: tuple[Mark, ...] = Field(default=(), max_length=32, description="Higher recommendations of the last while.")
    troughs: tuple[Mark, ...] = Field(default=(), max_length=32, description="Lower recommendations of the last while.")
    changes: tuple[Change, ...] = Field(default=(), max_length=32, description="Changes that rate limits look back on.")
    failures: Count = Field(
        default=0, description="Failed readings in a row (counting stops at the fallback's threshold)."
    )
    service_milliseconds: Count | None = Field(
        default=None, description="Learned time that one job takes, in milliseconds; kept while the pool is at zero."
    )


class WorkerPoolStatus(Model):
    """What the operator observed and decided."""

    observed_generation: Count = Field(default=0, description="Generation of the spec that was acted on.")
    replicas: Count = Field(default=0, description="Replicas that exist.")
    ready_replicas: Count = Field(default=0, description="Replicas that are ready to work.")
    desired_replicas: Count = Field(default=0, description="Replicas that the last decision asks for.")
    selector: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="Label selector of the replicas, for kubectl get pods -l and for autoscalers."
    )
    reason: Text = Field(default="", description="Why this number of replicas: every step of the decision, in words.")
    backlog: BacklogSummary | None = Field(default=None, description="The last successful reading of the queue.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "The state in the manner of Kubernetes: Ready, ScalingActive, ScalingLimited and Stalled, with reasons."
        ),
    )
    history: History = Field(default_factory=History, description="What the next decision needs to know of the past.")
