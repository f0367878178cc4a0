"""Pure parts of the local platform: back-off, the health page, the env file."""

import json
from typing import Any

import pytest

from workerpool_operator.local.health import parse
from workerpool_operator.local.rules import crashes_in_a_row, restart_delay
from workerpool_operator.up.envfile import EnvFileError, parse_env_file


def test_restarts_wait_longer_and_longer_up_to_a_minute() -> None:
    assert [restart_delay(crashes) for crashes in (1, 2, 3, 4, 8, 9, 10_000)] == [0.5, 1.0, 2.0, 4.0, 60.0, 60.0, 60.0]


def test_a_runner_that_worked_for_a_while_starts_the_count_again() -> None:
    assert (crashes_in_a_row(4, 3.0), crashes_in_a_row(4, 60.0)) == (5, 1)


def page(**changes: Any) -> bytes:
    """A health page with ``changes``."""
    worker = {"isRunning": True, "concurrency": 3, "busy": 1, "buffered": 4, "completed": 10, "failed": 1}
    body = {"status": "healthy", "worker": {**worker, "serviceSeconds": 0.5}, "checks": {"loop": {"ok": True}}}
    return json.dumps({**body, **changes}).encode()


def test_health_page() -> None:
    found = parse(page())
    assert (found.live, found.ready, found.busy, found.slots, found.completed, found.failed) == (
        True,
        True,
        1,
        3,
        10,
        1,
    )
    assert found.service_seconds == 0.5


def test_a_lost_database_makes_a_runner_unready_but_never_dead() -> None:
    checks = {"loop": {"ok": True}, "source": {"ok": False, "detail": "away"}}
    found = parse(page(status="unhealthy", checks=checks, worker={"busy": 0}))
    assert (found.live, found.ready, found.detail) == (True, False, "source: away")
    assert not parse(page(checks={"loop": {"ok": False}})).live
    away = parse(page(status="unhealthy", checks={"source": {"ok": True}, "storage": {"ok": False}}))
    assert away.ready, "a storage that is away is no reason to replace a runner"
    assert away.detail == "storage not ok"


def test_a_runner_counts_as_ready_where_kubernetes_asks_it_too() -> None:
    lost = {"source": {"ok": False, "detail": "away"}}
    with_jobs = parse(page(status="unhealthy", checks=lost))
    assert (with_jobs.ready, with_jobs.detail) == (True, "source: away")
    consequence = {**lost, "consuming": {"ok": False}}
    unable = parse(page(status="unhealthy", checks=consequence))
    assert (unable.ready, unable.detail) == (False, "source: away")
    assert parse(page(status="unhealthy", checks={"consuming": {"ok": False}})).detail == "consuming not ok"
    leaving = parse(page(worker={"busy": 1, "draining": True}))
    assert not leaving.ready


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"worker": 3}'])
def test_other_pages_are_no_health(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(body)


def test_env_file() -> None:
    text = "# comment\n\nA=1\nexport B = 'x y'\nC=\"q=1\"\nD=\n"
    assert parse_env_file(text, "f") == {"A": "1", "B": "x y", "C": "q=1", "D": ""}


def test_env_file_names_the_bad_line_without_showing_it() -> None:
    with pytest.raises(EnvFileError, match=r"^\.env:2: not a line of the form NAME=VALUE; correct it") as caught:
        parse_env_file("A=1\nhunter2\n", ".env")
    assert "hunter2" not in str(caught.value)
