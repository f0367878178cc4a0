"""Processes of one replica are added up."""

from workerpool_contract.backlog import RunnerReport, by_replica


def test_nobody_is_no_replica() -> None:
    assert by_replica([]) == {}


def test_one_process_is_its_replica() -> None:
    report = RunnerReport("a", 5, 1, 0.5, 10, 2, 0.25)
    assert by_replica([report]) == {"a": report}


def test_processes_are_added_up_by_name() -> None:
    found = by_replica(
        [
            RunnerReport("a", slots=5, busy=1, age=4.0, completed=8, failed=1, service_seconds=1.0),
            RunnerReport("b", slots=2, busy=0, age=9.0),
            RunnerReport("a", slots=5, busy=0, age=2.0, completed=1, failed=0, service_seconds=11.0),
            RunnerReport("a", slots=5, busy=0, age=3.0),
        ]
    )
    assert found == {
        "a": RunnerReport("a", slots=15, busy=1, age=2.0, completed=9, failed=1, service_seconds=2.0),
        "b": RunnerReport("b", slots=2, busy=0, age=9.0),
    }
