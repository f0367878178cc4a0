"""Lines and JSON: one per change, with everything that a person or a program asks for."""

import io
import json
from dataclasses import replace

from rich.console import Console

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.status import BacklogSummary, WorkerPoolStatus
from workerpool_operator.observe import Rates
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView
from workerpool_operator.up.loop import PoolView
from workerpool_operator.up.reporter import Json, Lines, change_key
from workerpool_operator.up.screen import Screen

WORKING = ReplicaView("a-1", ReplicaState.READY, busy=2)
LEAVING = ReplicaView("a-2", ReplicaState.DRAINING, busy=1)
FAILING = ReplicaView("a-1", ReplicaState.BACKOFF, detail="ended with code 2; starts again after 4 s")
VIEW = PoolView(
    name="a",
    queue="q",
    state=PoolState((WORKING, LEAVING)),
    reading=Backlog(7, 3, dead=1),
    status=WorkerPoolStatus(desired_replicas=1, reason="because", backlog=BacklogSummary(ready=7, in_flight=3)),
    rates=Rates(finishing=2.5, growth=1.0),
)


def lines(*updates: tuple[PoolView, float]) -> list[str]:
    """What the plain reporter writes."""
    found: list[str] = []
    reporter = Lines(found.append)
    for view, at in updates:
        reporter.update([view], at)
    return found


def test_a_line_says_backlog_replicas_rates_and_reason() -> None:
    assert lines((VIEW, 12.0)) == [
        (
            "   12.0 s  a: 7 ready, 3 in flight, 1 dead | 1 of 1 replicas (+1 draining), 3 busy | 3.5/s in, 2.5/s out"
            " | why: because"
        )
    ]


def test_lines_come_on_change_and_now_and_then_while_there_is_work() -> None:
    more = replace(VIEW, reading=Backlog(6))
    idle = replace(VIEW, reading=Backlog(0))
    assert len(lines((VIEW, 0), (more, 1), (more, 2))) == 1
    assert len(lines((VIEW, 0), (more, 1), (more, 5.5))) == 2
    assert len(lines((idle, 0), (idle, 60))) == 1


def test_the_end_of_the_work_is_told_at_once_and_other_counts_now_and_then() -> None:
    busy, done, more = (replace(VIEW, reading=Backlog(0, jobs)) for jobs in (21, 0, 1))
    assert ["0 in flight" in line for line in lines((busy, 0), (done, 0.5), (done, 90))] == [False, True]
    flapping = [(view, 2 * at + later) for at in range(50) for view, later in ((more, 0.0), (done, 1.0))]
    assert 20 < len(lines(*flapping)) <= 2 * 100 / 5 + 1
    late = replace(VIEW, reading=Backlog(0, delayed=3))
    assert [line.partition(" |")[0][11:] for line in lines((done, 0), (late, 1), (late, 5), (late, 90))] == [
        "a: 0 ready, 0 in flight",
        "a: 0 ready, 0 in flight, 3 delayed",
    ]


AWAY = "source: RabbitMQ at mq:15672/: hung up without a word of AMQP"
UNREADY = ReplicaView("a-2", ReplicaState.STARTING, busy=0, detail=AWAY)
STUCK = ReplicaView("a-1", ReplicaState.READY, busy=2, detail="storage: the S3 server can't be reached (key 1)")


def test_runners_that_are_not_ready_or_lack_something_are_told_with_their_checks() -> None:
    view = replace(VIEW, state=PoolState((STUCK, UNREADY)))
    [line] = lines((view, 0))
    assert "| 1 of 1 replicas (+1 not ready), 2 busy |" in line
    assert "| a-1 storage: the S3 server can't be reached (key 1) |" in line
    assert line.endswith(f"| a-2 is not ready: {AWAY}")
    assert [UNREADY.name in str(change_key(it)) for it in (view, VIEW)] == [True, False]


def test_other_words_of_the_same_failing_check_are_no_change() -> None:
    first, second = (replace(VIEW, state=PoolState((replace(STUCK, detail=f"storage: key {key}"),))) for key in (1, 2))
    assert len(lines((first, 0), (second, 1))) == 1
    assert len(lines((first, 0), (replace(VIEW, state=PoolState((WORKING,))), 1))) == 2


def test_why_a_backlog_is_unknown_is_told_once_and_briefly() -> None:
    refused = "RabbitMQ at mq:5672, vhost / refused the login; check user and password in --url"
    every = f"{refused}; http://mq:15672 refused the login too"
    status = replace_reason(f"backlog unknown ({every}): 1 held")
    [line] = lines((replace(VIEW, reading=Unknown(every, refused), status=status), 0))
    assert line.count("refused") == 1
    assert f"backlog unknown: {refused} |" in line
    assert "why: backlog unknown: 1 held" in line


def test_counts_that_come_from_elsewhere_are_told_with_the_reason() -> None:
    indirect = replace(VIEW, reading=replace(Backlog(7), indirect="RabbitMQ at mq:5672 refused the login"))
    _, line = lines((replace(VIEW, reading=Backlog(7)), 0), (indirect, 1))
    assert line.endswith("| RabbitMQ at mq:5672 refused the login")


def test_a_queue_that_nobody_declared_is_told_until_it_is_there() -> None:
    missing = replace(VIEW, reading=Backlog(0, undeclared="queue ordesr does not exist yet"))
    first, then = lines((missing, 0), (missing, 90), (replace(VIEW, reading=Backlog(0)), 91))
    assert first.endswith("| queue ordesr does not exist yet")
    assert "ordesr" not in then


def replace_reason(reason: str) -> WorkerPoolStatus:
    """The status with other words."""
    return VIEW.status.model_copy(update={"reason": reason})


def test_trouble_is_told() -> None:
    broken = replace(
        VIEW, state=PoolState((FAILING,)), reading=Unknown("Postgres at db is away"), failure="OSError: full"
    )
    [line] = lines((broken, 0))
    assert "backlog unknown: Postgres at db is away" in line
    assert "failed: OSError: full" in line
    assert "a-1 ended with code 2; starts again after 4 s" in line


def test_json_writes_one_object_per_change() -> None:
    found: list[str] = []
    reporter = Json(found.append)
    for at in (1.0, 2.0):
        reporter.update([VIEW], at)
    reporter.note("hello")
    pool, note = (json.loads(line) for line in found)
    assert note == {"event": "note", "message": "hello"}
    assert (pool["event"], pool["pool"], pool["desired"], pool["backlog"]["inFlight"]) == ("pool", "a", 1, 3)
    assert pool["replicas"][1] == {"name": "a-2", "state": "draining", "busy": 1, "detail": ""}


def test_screen_draws_rows_reasons_and_trouble() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=True, width=120, color_system=None))
    screen.note("Notice: [x] is no markup")
    screen.update([VIEW], 3.0)
    screen.update([replace(VIEW, state=PoolState((FAILING,)), reading=Unknown("away"))], 4.0)
    screen.close()
    text = out.getvalue()
    for words in ("Notice: [x] is no markup", "BACKLOG", "1/1 -1", "a: because", "unknown", "starts again after 4 s"):
        assert words in text
