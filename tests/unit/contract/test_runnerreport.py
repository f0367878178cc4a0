"""Reports and control messages survive the way over the broker; strangers' bodies are refused, not guessed at."""

import json

import pytest

from workerpool_contract.runnerreport import Control, ReportError, RunnerReport, read_control, read_report

REPORT = RunnerReport("b1", "runner-1", ("mail", "mail@eu"), 8, 3, {"mail": 5}, {"mail": 7}, {"mail@eu": 1}, 0.25)


def test_a_report_arrives_as_sent() -> None:
    assert read_report(REPORT.to_json()) == REPORT


def test_what_a_newer_release_adds_is_passed_over() -> None:
    body = json.loads(REPORT.to_json()) | {"mood": "fine"}
    assert read_report(json.dumps(body).encode()) == REPORT


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"boot":"b","name":"n","queues":"q","slots":1}'])
def test_other_bodies_are_no_reports(body: bytes) -> None:
    with pytest.raises(ReportError):
        read_report(body)


@pytest.mark.parametrize("changed", [{"slots": None}, {"completed": 7}, {"failed": {"mail": None}}, {"held": []}])
def test_a_report_with_counts_that_are_none_is_refused(changed: dict[str, object]) -> None:
    body = json.loads(REPORT.to_json()) | changed
    with pytest.raises(ReportError, match="no report"):
        read_report(json.dumps(body).encode())


@pytest.mark.parametrize("control", [Control("report"), Control("cancel", (1, 2**62))])
def test_a_control_message_arrives_as_sent(control: Control) -> None:
    assert read_control(control.to_json()) == control


@pytest.mark.parametrize("body", [b"{}", b'{"kind":"reboot"}', b'{"kind":"cancel"}', b'{"kind":"cancel","ids":["1"]}'])
def test_other_control_messages_are_refused(body: bytes) -> None:
    with pytest.raises(ReportError):
        read_control(body)
