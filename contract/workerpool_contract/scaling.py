"""`spec.scaling`: how many replicas a backlog deserves, how fast the number may move, and what to do when in doubt."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, Strict, model_validator

from workerpool_contract.model import Model, PositiveSeconds, Replicas, Time, misfit

DEFAULT_BACKLOG_PER_REPLICA = 10
HOLD_AT_NEEDS_REPLICAS = (
    "replicas is required with mode HoldAt and allowed only there; set it with mode: HoldAt, or remove it"
)


class PolicyType(StrEnum):
    """What a rate limit counts."""

    REPLICAS = "Replicas"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several rate limits holds."""

    MAX = "Max"
    MIN = "Min"


class PauseMode(StrEnum):
    """What a pause forbids."""

    HOLD = "Hold"
    HOLD_AT = "HoldAt"
    NO_SCALE_IN = "NoScaleIn"
    NO_SCALE_OUT = "NoScaleOut"


class RatePolicy(Model):
    """One rate limit: at most ``value`` replicas (or percent of the replicas at the period's start) per period."""

    type: PolicyType = Field(
        description="Replicas: value is a number of replicas. Percent: of those at the period's start."
    )
    value: Annotated[int, Strict(), Field(ge=1, le=100_000)] = Field(
        description="The most that one period may add or remove. Percentages are rounded up."
    )
    period_seconds: Annotated[int, Strict(), Field(ge=1, le=1800)] = Field(
        default=60, description="Length of the period that the limit looks back over, in seconds."
    )


class ScaleUp(Model):
    """How fast replicas may be added. By default at once, from 0 to the full number in one step."""

    stabilization_seconds: Annotated[int, Strict(), Field(ge=0, le=3600)] = Field(
        default=0, description="Use the lowest recommendation of this many seconds; 0 follows a rise at once."
    )
    policies: tuple[RatePolicy, ...] = Field(
        default=(), max_length=8, description="Rate limits for adding replicas; none means no limit."
    )
    select_policy: SelectPolicy = Field(
        default=SelectPolicy.MAX,
        description="Of several policies: Max lets the most generous decide, Min the strictest.",
    )


class ScaleDown(Model):
    """How fast replicas may be removed. The same rules hold for N to M and for 1 to 0."""

    stabilization_seconds: Annotated[int, Strict(), Field(ge=0, le=3600)] = Field(
        default=60,
        description="Use the highest recommendation of this many seconds, so a short lull removes nothing.",
    )
    policies: tuple[RatePolicy, ...] = Field(
        default=(),
        max_length=8,
        description="Rate limits for removing replicas (a disruption budget); none means no limit.",
    )
    select_policy: SelectPolicy = Field(
        default=SelectPolicy.MAX, description="Max lets the most generous of the limits decide, Min the strictest."
    )


class Fallback(Model):
    """What to run when the backlog stays unknown. It only ever raises: an unknown backlog never removes replicas."""

    replicas: Replicas = Field(description="Run at least this many replicas while the backlog can't be read.")
    after_failures: Annotated[int, Strict(), Field(ge=1, le=1000)] = Field(
        default=3, description="Failed readings in a row before the fallback holds."
    )


class Pause(Model):
    """Stops scaling for a while. The state is derived from these fields at every decision; nothing is latched."""

    mode: PauseMode = Field(
        description="Hold: change nothing. HoldAt: keep `replicas`. NoScaleIn: only add. NoScaleOut: only remove."
    )
    replicas: Replicas | None = Field(
        default=None, description="The number to hold; only with mode HoldAt, and required there."
    )
    until: Time | None = Field(
        default=None,
        description="The pause ends by itself at this time (RFC 3339, with time zone); unset: until removed.",
    )

    def in_force(self, now: float) -> bool:
        """Whether it still lasts at ``now`` (Unix time in seconds)."""
        return self.until is None or self.until.timestamp() > now

    @property
    def words(self) -> str:
        """What it is, for people."""
        until = "" if self.until is None else f" until {self.until.isoformat()}"
        return f"paused ({self.mode.value}){until}"

    @model_validator(mode="after")
    def _replicas_with_hold_at(self) -> "Pause":
        if (self.mode is PauseMode.HOLD_AT) != (self.replicas is not None):
            raise misfit(HOLD_AT_NEEDS_REPLICAS, "replicas")
        return self


class Scaling(Model):
    """Bounds, targets and manners of the autoscaler.

    Neither target set means a target of 10 jobs per replica, so that the shortest manifest works; the number used is
    in the reason of every decision. It is no schema default: a stored default would join, as the larger answer wins,
    with a targetWaitSeconds that was meant to stand alone.
    """

    min_replicas: Replicas = Field(
        default=0, description="Never fewer replicas than this. 0 lets an idle pool use nothing."
    )
    max_replicas: Annotated[int, Strict(), Field(ge=1, le=1000)] = Field(
        default=10, description="Never more replicas than this; no other rule overrides it."
    )
    backlog_per_replica: Annotated[int, Strict(), Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Jobs (ready and in flight) that one replica should have. 10 when targetWaitSeconds is unset too.",
    )
    target_wait_seconds: PositiveSeconds | None = Field(
        default=None,
        description="How long a job may wait, in seconds. The pool learns from its runners how long a job takes. "
        "With backlogPerReplica set too, the larger answer holds.",
    )
    poll_interval_seconds: Annotated[int, Strict(), Field(ge=1, le=3600)] = Field(
        default=5,
        description="How often the backlog is read, in seconds. A pool at zero is also woken by the queue itself.",
    )
    activation_backlog: Annotated[int, Strict(), Field(ge=0, le=1_000_000)] = Field(
        default=0, description="A pool at zero starts when the backlog is larger than this."
    )
    tolerance_percent: Annotated[int, Strict(), Field(ge=0, le=100)] = Field(
        default=10,
        description=(
            "Keep the present replicas while the backlog per replica is this close to its target, in percent."
        ),
    )
    scale_up: ScaleUp = Field(
        default_factory=ScaleUp,
        description="How fast replicas may be added. Unset: at once, from 0 to the full number in one step.",
    )
    scale_down: ScaleDown = Field(
        default_factory=ScaleDown,
        description="How fast replicas may be removed. Unset: after a minute below the present number, in one step. "
        "Idle replicas go first, and running jobs finish.",
    )
    fallback: Fallback | None = Field(
        default=None, description="What to run when the backlog stays unknown; unset: hold. It only ever adds replicas."
    )
    pause: Pause | None = Field(
        default=None,
        description=(
            "Stops scaling, wholly or in one direction, until it is removed or its time is over. The runners "
            "that exist go on working."
        ),
    )

    @property
    def effective_backlog_per_replica(self) -> int | None:
        """The backlog target in force, None when only the wait target is."""
        if self.backlog_per_replica is None and self.target_wait_seconds is None:
            return DEFAULT_BACKLOG_PER_REPLICA
        return self.backlog_per_replica

    @model_validator(mode="after")
    def _within_bounds(self) -> "Scaling":
        limits = {
            "minReplicas": self.min_replicas,
            "fallback.replicas": self.fallback.replicas if self.fallback else 0,
            "pause.replicas": (self.pause.replicas or 0) if self.pause else 0,
        }
        for field, value in limits.items():
            if value > self.max_replicas:
                words = f"{field} {value} is above maxReplicas {self.max_replicas}; lower {field} or raise maxReplicas"
                raise misfit(words, *field.split("."))
        return self
