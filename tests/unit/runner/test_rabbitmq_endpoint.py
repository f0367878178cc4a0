"""Endpoints of brokers: what is wrong with a URL is said without showing it."""

from pathlib import Path

import pytest

from workerpool.errors import ConfigError
from workerpool.sources.rabbitmq.connecting import version
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.line import LONGEST_PAUSE, pause


@pytest.mark.parametrize(
    "url",
    [
        "amqp://app:12/hunter2@mq/jobs",
        "amqp://app:hunter2@mq:port/jobs",
        "amqp://app:hunter2@mq/jobs/more",
        "http://app:hunter2@mq",
        "amqp://app:hunter2@",
        "app:hunter2@mq",
        "hunter2",
    ],
)
def test_an_unusable_url_is_refused_and_not_shown(url: str) -> None:
    endpoint = Endpoint(url)
    with pytest.raises(ConfigError, match=r"^url: .*amqp://user:password@host:5672/vhost") as refused:
        _ = endpoint.parts
    for text in (str(refused.value), repr(endpoint), endpoint.shown):
        assert "hunter2" not in text


def test_plain_text_trusts_nothing_and_tls_names_the_file_that_is_no_authority(tmp_path: Path) -> None:
    assert Endpoint("amqp://mq").ssl_context() is None
    assert Endpoint("amqps://mq").ssl_context() is not None
    (tmp_path / "ca.crt").write_text("no certificate")
    for name in ("ca.crt", "missing.crt"):
        with pytest.raises(ConfigError, match=rf"ca file: '.*{name}' can't be used .*PEM"):
            Endpoint("amqps://mq", str(tmp_path / name)).ssl_context()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3.10.8", (3, 10, 8)), ("4.1.0-rc.1", (4, 1, 0)), ("4.3", (4, 3, 0)), ("unknown", (3, 10, 0))],
)
def test_versions_are_compared_as_numbers(text: str, numbers: tuple[int, int, int]) -> None:
    assert version(text) == numbers


def test_pauses_between_connects_grow_to_half_a_minute_and_are_spread() -> None:
    assert [pause(failures, lambda: 1.0) for failures in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause(10_000, lambda: 1.0) == LONGEST_PAUSE
    assert pause(5, lambda: 0.25) == 4.0
    assert len({pause(5) for _ in range(20)}) > 1
