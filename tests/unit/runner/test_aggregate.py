"""Children's probes put together: sums, maxima, and who may make /live or /ready fail."""

from datetime import UTC, datetime
from typing import Any

import pytest

from workerpool.aggregate import ChildAddress, ChildrenProbes, Reply, ask_child, merge_queue, merge_status, merge_worker
from workerpool.children import Command
from workerpool.supervisor import child_command, restart_delay


def worker(**changes: Any) -> dict[str, Any]:
    return {
        "isRunning": True, "queueName": "a", "queues": ["a"], "concurrency": 2, "busy": 1, "buffered": 0,
        "completed": 10, "failed": 0, "draining": False, "pid": 7, "boot": "b", "oldestJobSeconds": 1.0,
        "serviceSeconds": 1.0,
    } | changes  # fmt: skip


def test_numbers_add_up_and_the_oldest_job_is_the_oldest_of_all() -> None:
    merged = merge_worker(
        [worker(), worker(oldestJobSeconds=5.0, queues=["a", "b"], failed=20, serviceSeconds=4.0, boot="c", busy=2)], 1
    )
    assert merged == {
        "isRunning": True, "queueName": "a,b", "queues": ["a", "b"], "concurrency": 4, "busy": 3, "buffered": 0,
        "completed": 20, "failed": 20, "draining": False, "pid": 1, "boot": "b,c", "oldestJobSeconds": 5.0,
        "serviceSeconds": 3.25,
    }  # fmt: skip


def test_nothing_known_is_nothing_running() -> None:
    merged = merge_worker([], 1)
    assert (merged["isRunning"], merged["busy"], merged["oldestJobSeconds"], merged["serviceSeconds"]) == (
        False, 0, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["healthy", "healthy"], "healthy"),
        (["healthy", "starting"], "healthy"),
        (["healthy", "unhealthy"], "unhealthy"),
        (["starting", "starting"], "unhealthy"),
        (["draining", "unhealthy"], "draining"),
    ],
)
def test_status(statuses: list[str], expected: str) -> None:
    assert merge_status(statuses) == expected


def test_counts_of_a_shared_queue_are_not_added_twice() -> None:
    server: dict[str, int | None] = {"waiting": 5, "active": 4, "completed": 150, "failed": 3, "delayed": 0}
    own: dict[str, int | None] = {"waiting": None, "active": 1, "completed": 10, "failed": 1, "delayed": None}
    assert merge_queue([server, server]) == server
    assert merge_queue([own, own]) == {"waiting": None, "active": 2, "completed": 20, "failed": 2, "delayed": None}
    assert merge_queue([]) == dict.fromkeys(own)


@pytest.mark.parametrize(
    ("children", "statuses", "live", "ready"),
    [
        pytest.param([(1, 10), (2, 11)], [200, 200], True, True, id="all well"),
        pytest.param([(1, 10), (2, 11)], [200, 503], False, True, id="one stuck"),
        pytest.param([(1, 10), (2, 11)], [200, 0], False, True, id="one silent"),
        pytest.param([(1, 10), (None, None)], [200, 0], True, True, id="one to be started again"),
        pytest.param([(1, None), (2, None)], [0, 0], True, False, id="all starting"),
    ],
)
def test_live_and_ready(children: list[tuple[int, int]], statuses: list[int], live: bool, ready: bool) -> None:
    addresses = [ChildAddress(number, pid, port) for number, (pid, port) in enumerate(children)]
    probes = ChildrenProbes(
        lambda: addresses, 1, lambda: datetime(2024, 1, 1, tzinfo=UTC), lambda child, *_: Reply(statuses[child.number])
    )
    assert probes.live().ok is live
    assert probes.ready().ok is ready


def test_a_child_without_a_port_or_an_answer_is_silent() -> None:
    assert ask_child(ChildAddress(0, 1, None), "/live", "*/*") == Reply(0)
    assert ask_child(ChildAddress(0, 1, 1), "/live", "*/*") == Reply(0)
    assert Reply(200, "not json").json() == {}


def test_the_delay_before_a_restart_doubles_up_to_half_a_minute() -> None:
    assert [restart_delay(crashes) for crashes in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_a_child_is_one_process_with_probes_of_its_own() -> None:
    command = child_command(Command(["run"], {"WORKERPOOL_PROCESSES": "4", "WORKERPOOL_PROBE_PORT": "3002", "X": "1"}))
    assert command.environment == {
        "WORKERPOOL_PROCESSES": "1", "WORKERPOOL_PROBE_HOST": "127.0.0.1", "WORKERPOOL_PROBE_PORT": "0", "X": "1",
    }  # fmt: skip
