"""RetryPolicy's delays and the decision after a failure."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workerpool.errors import ConfigError, InvalidPayload, JobTimeout, RetryableError, TerminalError
from workerpool.outcome import DeadLetter, DeadReason, Retry
from workerpool.retry import BACKOFFS, Backoff, RetryPolicy, classify


def delays(policy: RetryPolicy, count: int) -> list[float]:
    return [policy.get_delay(attempt) for attempt in range(1, count + 1)]


def test_the_documented_example() -> None:
    policy = RetryPolicy(max_retries=5, backoff="exponential", initial_delay=1.0, max_delay=60.0)
    assert policy.get_delay(attempt=3) == 4.0


def test_exponential_doubles_up_to_the_maximum() -> None:
    assert delays(RetryPolicy(), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_linear_grows_by_the_initial_delay() -> None:
    assert delays(RetryPolicy(backoff="linear"), 3) == [1, 2, 3]
    assert delays(RetryPolicy(backoff="linear", initial_delay=0.5), 3) == [0.5, 1, 1.5]


def test_fixed_waits_five_seconds_unless_told() -> None:
    assert delays(RetryPolicy(backoff="fixed"), 3) == [5, 5, 5]
    assert delays(RetryPolicy(backoff="fixed", initial_delay=2), 2) == [2, 2]


@given(st.sampled_from(BACKOFFS), st.integers(1, 10**9), st.floats(0, 1e6), st.floats(0, 1e9))
def test_delays_are_finite_bounded_and_never_shrink(
    backoff: Backoff, attempt: int, initial: float, maximum: float
) -> None:
    policy = RetryPolicy(backoff=backoff, initial_delay=initial, max_delay=maximum)
    first, second = policy.get_delay(attempt), policy.get_delay(attempt + 1)
    assert math.isfinite(first)
    assert 0 <= first <= second <= maximum


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("max_retries", True),
        ("backoff", "quadratic"),
        ("initial_delay", -0.1),
        ("initial_delay", "1"),
        ("max_delay", math.inf),
        ("max_delay", math.nan),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(**{field: value})
    assert str(caught.value).startswith(f"{field}: {value!r} ")


def test_attempts_count_from_one() -> None:
    with pytest.raises(ConfigError, match="attempt: 0 is below 1"):
        RetryPolicy().get_delay(0)


def test_an_error_is_retried_until_the_retries_are_used_up() -> None:
    policy = RetryPolicy(max_retries=2)
    verdicts = [classify(ValueError("no"), attempts, policy, "no") for attempts in range(3)]
    assert verdicts == [Retry(1, "no"), Retry(2, "no"), DeadLetter(DeadReason.ERROR, "no")]


def test_no_retries_means_dead_at_once() -> None:
    assert classify(ValueError(), 0, RetryPolicy(max_retries=0), "x") == DeadLetter(DeadReason.ERROR, "x")


def test_a_terminal_error_is_never_retried() -> None:
    assert classify(TerminalError("bad"), 0, RetryPolicy(), "bad") == DeadLetter(DeadReason.TERMINAL, "bad")


def test_a_message_that_is_itself_at_fault_dies_as_invalid() -> None:
    assert classify(InvalidPayload("no id"), 0, RetryPolicy(), "no id") == DeadLetter(DeadReason.INVALID, "no id")


def test_a_retryable_error_may_name_its_delay_but_gets_no_extra_retry() -> None:
    policy = RetryPolicy(max_retries=1, max_delay=60)
    assert classify(RetryableError("later", delay=120), 0, policy, "later") == Retry(120, "later")
    assert classify(RetryableError("later"), 0, policy, "later") == Retry(1, "later")
    assert classify(RetryableError("later", delay=120), 1, policy, "later") == DeadLetter(DeadReason.ERROR, "later")


@pytest.mark.parametrize(("asked", "given"), [(-5.0, 0.0), (math.inf, 366 * 86_400.0), (math.nan, 0.0)])
def test_an_absurd_delay_becomes_one_that_can_be_stored(asked: float, given: float) -> None:
    assert classify(RetryableError("x", delay=asked), 0, RetryPolicy(), "x") == Retry(given, "x")


def test_a_timeout_is_retried_and_dies_with_its_own_reason() -> None:
    policy = RetryPolicy(max_retries=1)
    assert classify(JobTimeout("slow"), 0, policy, "slow") == Retry(1, "slow")
    assert classify(JobTimeout("slow"), 1, policy, "slow") == DeadLetter(DeadReason.TIMEOUT, "slow")
