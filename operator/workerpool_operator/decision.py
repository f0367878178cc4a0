"""What the policy sees and what it says, as frozen values: `Observation` in, `Decision` out."""

from dataclasses import dataclass, replace
from enum import StrEnum

from workerpool_contract.backlog import Reading
from workerpool_contract.status import History


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a pool.

    ``replicas``: those that are meant to run (starting ones count, draining ones don't). ``busy``: those of them that
    run a job or whose state nobody knows. ``slots``: jobs that one replica runs at the same time, ``service_seconds``:
    mean time of one job, ``arrivals_per_second``: new jobs; each None while unknown. ``fresh``: nothing was decided on
    this reading yet, so a failed one counts.
    """

    reading: Reading
    replicas: int
    busy: int = 0
    slots: int | None = None
    service_seconds: float | None = None
    arrivals_per_second: float | None = None
    fresh: bool = True


class ClampKind(StrEnum):
    """Which rule changed the number; also the reason word of status conditions."""

    FALLBACK = "Fallback"
    TRUNCATED = "Truncated"
    ACTIVATION = "Activation"
    BUSY = "Busy"
    TOLERANCE = "Tolerance"
    UP_WINDOW = "UpWindow"
    DOWN_WINDOW = "DownWindow"
    UP_POLICY = "UpPolicy"
    DOWN_POLICY = "DownPolicy"
    AT_MINIMUM = "AtMinimum"
    AT_MAXIMUM = "AtMaximum"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the formula: what it asks for and how it came to that, in words."""

    replicas: int
    words: str


@dataclass(frozen=True, slots=True)
class Clamp:
    """One rule that changed the number, and why, in words."""

    kind: ClampKind
    before: int
    after: int
    words: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A number on its way through the clamps, with those that changed it so far."""

    replicas: int
    clamps: tuple[Clamp, ...] = ()

    def moved(self, kind: ClampKind, to: int, words: str) -> "Proposal":
        """The proposal after a rule: the same object when the rule changes nothing."""
        if to == self.replicas:
            return self
        return replace(self, replicas=to, clamps=(*self.clamps, Clamp(kind, self.replicas, to, words)))


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas a pool gets.

    ``reason``: one sentence for people. ``terms`` and ``clamps``: the same in parts, in the order in which they were
    applied. ``history``: to be kept for the next decision once this one is carried out. ``next_check``: seconds until
    the next look.
    """

    replicas: int
    reason: str
    terms: tuple[Term, ...]
    clamps: tuple[Clamp, ...]
    history: History
    next_check: float
