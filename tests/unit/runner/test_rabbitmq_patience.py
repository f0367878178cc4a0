"""The words about a broker's consumer timeout."""

import pytest

from workerpool.sources.rabbitmq.patience import timed_out, too_long

OLD, NEW = (3, 10, 8), (3, 12, 0)
CLOSED = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. This "
    "timeout value can be configured, see consumers doc guide to learn more"
)


@pytest.mark.parametrize("seconds", [None, 0.5, 300.0, 1799.0])
def test_a_job_timeout_below_the_default_is_fine(seconds: float | None) -> None:
    assert too_long(seconds, OLD) is None


@pytest.mark.parametrize(("seconds", "needed"), [(1800.0, 2_400_000), (7200.0, 7_800_000)])
def test_a_longer_one_is_warned_of_with_the_numbers(seconds: float, needed: int) -> None:
    text = too_long(seconds, OLD)
    assert text is not None
    assert text.startswith(f"the job timeout of {seconds:g} s is not below 1800 s")
    assert text.endswith(f"`consumer_timeout = {needed}` in rabbitmq.conf")


def test_a_policy_is_named_where_the_broker_knows_it() -> None:
    assert "a policy with `consumer-timeout: 4200000` on the queue" in (too_long(3600.0, NEW) or "")


def test_the_end_of_a_channel_is_explained() -> None:
    text = timed_out(CLOSED, 3600.0, OLD)
    assert "held longer than the broker's consumer timeout of 1800 s" in text
    assert "(the job timeout is 3600 s)" in text
    assert "`consumer_timeout = 4200000` in rabbitmq.conf" in text


def test_without_a_known_job_timeout_nothing_is_said_of_it() -> None:
    assert "ended the channel; let jobs end sooner" in timed_out(CLOSED, None, OLD)


def test_another_end_keeps_its_words() -> None:
    assert timed_out("PRECONDITION_FAILED - unknown delivery tag 7", 3600.0, NEW) == (
        "PRECONDITION_FAILED - unknown delivery tag 7"
    )
