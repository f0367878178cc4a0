"""When a failed job runs again: the policy, and the decision after one failure. Pure: no clock, no chance.

Delays carry no jitter, so that a policy can be read off a table; a source spreads jobs by when they failed anyway.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from workerpool.errors import ConfigError, InvalidPayload, JobTimeout, RetryableError, TerminalError
from workerpool.outcome import DeadLetter, DeadReason, Retry

Backoff = Literal["exponential", "linear", "fixed"]

BACKOFFS: Final[tuple[Backoff, ...]] = get_args(Backoff)
DEFAULT_INITIAL_DELAY: Final = 1.0
DEFAULT_FIXED_DELAY: Final = 5.0
MAX_DOUBLINGS: Final = 62
"""2**62 seconds is past any ``max_delay``; more would overflow a float long before it meant anything."""

LONGEST_DELAY: Final = 366 * 86_400.0
"""Seconds: a handler that asks for more (or for infinity) gets a year, which every source can store."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a failed job runs again. Delays are in seconds.

    ``max_retries``: retries after the first attempt, 0 for none. ``backoff``: the retries wait 1, 2, 4, 8 times the
    initial delay (exponential), 1, 2, 3, 4 times (linear), or always the same (fixed). ``initial_delay``: 1 second,
    5 when fixed, unless given. No delay exceeds ``max_delay``. Raises ConfigError naming the field.
    """

    max_retries: int = 3
    backoff: Backoff = "exponential"
    initial_delay: float | None = None
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        if not _is_whole(self.max_retries) or self.max_retries < 0:
            raise ConfigError(f"max_retries: {self.max_retries!r} is not a whole number from 0; use 0 for no retry")
        if self.backoff not in BACKOFFS:
            raise ConfigError(f"backoff: {self.backoff!r} is unknown; use one of {', '.join(BACKOFFS)}")
        if self.initial_delay is not None:
            _require_seconds("initial_delay", self.initial_delay)
        _require_seconds("max_delay", self.max_delay)

    def get_delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number ``attempt`` (from 1). Raises ConfigError below 1."""
        if attempt < 1:
            raise ConfigError(f"attempt: {attempt} is below 1; the first attempt is number 1")
        return min(self.max_delay, self._first_delay * self._factor(attempt))

    @property
    def _first_delay(self) -> float:
        if self.initial_delay is not None:
            return self.initial_delay
        return DEFAULT_FIXED_DELAY if self.backoff == "fixed" else DEFAULT_INITIAL_DELAY

    def _factor(self, attempt: int) -> float:
        if self.backoff == "exponential":
            return 2.0 ** min(attempt - 1, MAX_DOUBLINGS)
        return float(attempt) if self.backoff == "linear" else 1.0


def classify(error: BaseException, attempts: int, policy: RetryPolicy, text: str) -> Retry | DeadLetter:
    """What a failed attempt leads to.

    ``attempts``: failed attempts before this one (0 at the first run). ``text``: the error in words, kept with the
    job. A RetryableError may name its own delay, which ``max_delay`` does not shorten, but never gets extra retries.
    """
    if isinstance(error, TerminalError):
        return DeadLetter(DeadReason.INVALID if isinstance(error, InvalidPayload) else DeadReason.TERMINAL, text)
    if attempts >= policy.max_retries:
        return DeadLetter(DeadReason.TIMEOUT if isinstance(error, JobTimeout) else DeadReason.ERROR, text)
    if isinstance(error, RetryableError) and error.delay is not None:
        return Retry(min(max(0.0, error.delay), LONGEST_DELAY), text)
    return Retry(policy.get_delay(attempts + 1), text)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_seconds(field: str, value: object) -> None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if not usable:
        raise ConfigError(f"{field}: {value!r} is not a number of seconds from 0; use for example {field}=1.0")
