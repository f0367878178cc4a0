"""`workerpool jobs` on every state that a job can be in."""

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.tables import Tables

BOOT = "00000000-0000-0000-0000-00000000000b"


def claim(queue: Tables, name: str, claim: int = 1, seconds: int = 60) -> list[int]:
    """Claims as a runner does; the ids."""
    rows = queue.query(
        "select id from workerpool.claim(%s, %s, array[workerpool.queue_id(%s)], array[100], "
        "make_interval(secs => %s))",
        BOOT, claim, name, seconds,
    )  # fmt: skip
    return [row["id"] for row in rows]


def settle(queue: Tables, job_id: int, outcome: str, claim: int = 1, result: str | None = None) -> None:
    """Finishes one claimed job as a runner does."""
    queue.query(
        "select workerpool.finish(%s, array[j.queue_id], array[j.priority], array[j.id], array[%s::int], array[25], "
        "array[%s], array[300::float8], array['error'], array['ValueError: no'], array['notify'], array[%s::json]) "
        "from workerpool.job j where j.id = %s",
        BOOT, claim, outcome, result, job_id,
    )  # fmt: skip


@pytest.fixture
def every_state(queue: Tables) -> dict[str, int]:
    """One job in each state; state to id."""
    completed, delayed, dead, held = queue.enqueue("orders", [{"n": n} for n in range(4)])
    claim(queue, "orders")
    settle(queue, completed, "completed", result='{"ok": true}')
    settle(queue, delayed, "retry")
    settle(queue, dead, "dead")
    queue.query(
        "insert into workerpool.runner (boot, name, host, pid, queues, slots, version) "
        "values (%s, 'certifier', 'box', 42, '{orders}', 1, '1')",
        BOOT,
    )
    queue.query(
        "select workerpool.progress(%s, j.queue_id, j.priority, j.id, 1, 'fitting', 40::smallint, '{\"fold\": 2}') "
        "from workerpool.job j where j.id = %s",
        BOOT, held,
    )  # fmt: skip
    (ready,) = queue.enqueue("orders", [{"n": 4}])
    return {"completed": completed, "delayed": delayed, "dead": dead, "in-flight": held, "ready": ready}


def test_list_shows_what_is_not_finished(shell: Shell, every_state: dict[str, int]) -> None:
    rows = shell("jobs", "list", "--json").json
    assert {row["state"]: row["id"] for row in rows} == {
        state: job_id for state, job_id in every_state.items() if state != "completed"
    }
    text = shell("jobs", "list", "--queue", "orders").out
    assert text.splitlines()[0].split() == ["ID", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "CRASHES", "SINCE", "NOTE"]
    assert "error: ValueError: no" in text
    assert "due in" in text


@pytest.mark.parametrize("state", ["ready", "in-flight", "delayed", "dead", "completed"])
def test_list_and_show_agree_on_the_state(shell: Shell, every_state: dict[str, int], state: str) -> None:
    (row,) = shell("jobs", "list", "--state", state, "--json").json
    assert row["id"] == every_state[state]
    shown = shell("jobs", "show", row["id"], "--json").json
    assert (shown["state"], shown["queue"], shown["payload"]["n"]) == (
        state, "orders", list(every_state.values()).index(row["id"]) if state != "ready" else 4,
    )  # fmt: skip


def test_show_tells_who_has_the_job_and_what_it_said(shell: Shell, every_state: dict[str, int]) -> None:
    text = shell("jobs", "show", every_state["in-flight"]).out
    assert "certifier on box, pid 42" in text
    assert 'attempt 1 fitting 40 % {"fold": 2}' in text
    assert "Lease until:" in text


def test_show_tells_the_result_and_the_error(shell: Shell, every_state: dict[str, int]) -> None:
    done = shell("jobs", "show", every_state["completed"], "--json").json
    assert done["result"] == {"ok": True}
    assert done["runs"][0]["state"] == "completed"
    assert shell("jobs", "show", every_state["delayed"], "--json").json["error"] == "ValueError: no"
    dead = shell("jobs", "show", every_state["dead"], "--json").json
    assert (dead["reason"], dead["error"], dead["worker"]) == ("error", "ValueError: no", "notify")


def test_show_of_an_unknown_job_fails(shell: Shell, queue: Tables) -> None:
    result = shell("jobs", "show", 12345)
    assert result.code == 1
    assert "no such job" in result.err


def test_a_list_has_a_limit_and_an_order(shell: Shell, queue: Tables) -> None:
    shell("enqueue", "b", "1")
    shell("enqueue", "a", "1", "--priority", 5)
    shell("enqueue", "b", "1", "--priority", 9)
    rows = shell("jobs", "list", "--limit", 2, "--json").json
    assert [(row["queue"], row["priority"]) for row in rows] == [("b", 9), ("a", 5)]
    assert shell("jobs", "list", "--state", "expired").out == "No jobs.\n"


def test_an_unknown_queue_names_those_there_are(shell: Shell, queue: Tables) -> None:
    shell("enqueue", "orders", "1")
    result = shell("jobs", "list", "--queue", "odrers")
    assert result.code == 2
    assert "queues of this database: orders" in result.err


def test_text_of_others_cannot_steer_the_terminal(shell: Shell, queue: Tables) -> None:
    (job_id,) = queue.enqueue("orders", [{}])
    claim(queue, "orders")
    queue.query(
        "select workerpool.finish(%s, array[queue_id], array[priority], array[id], array[1], array[1], array['dead'], "
        "array[0::float8], array['error'], array[E'\\x1b[31mred\\nline [bold]'], array['w'], array[null::json]) "
        "from workerpool.job",
        BOOT,
    )
    for words in (("jobs", "list"), ("jobs", "show", job_id), ("dlq", "list"), ("dlq", "show", job_id)):
        out = shell(*words).out
        assert "\x1b" not in out
        assert "\\x1b[31mred" in out
    assert "[bold]" in shell("jobs", "list").out


def test_retry_makes_dead_delayed_and_finished_jobs_ready(
    shell: Shell, queue: Tables, every_state: dict[str, int]
) -> None:
    ids = [every_state[state] for state in ("dead", "delayed", "completed", "ready")]
    result = shell("jobs", "retry", *ids)
    assert (result.code, result.err) == (0, "")
    jobs = {job["id"]: job for job in queue.jobs()}
    assert [jobs[job_id]["attempts"] for job_id in ids] == [0, 1, 0, 0]
    assert [jobs[job_id]["payload"]["n"] for job_id in ids] == [2, 1, 0, 4]
    assert queue.dead() == []


def test_retry_refuses_what_runs_and_what_is_unknown(shell: Shell, every_state: dict[str, int]) -> None:
    result = shell("jobs", "retry", every_state["in-flight"], 999, every_state["dead"], "--json")
    assert result.code == 1
    assert [(it["changed"], it["before"]) for it in result.json] == [
        (False, "in-flight"),
        (False, None),
        (True, "dead"),
    ]


def test_cancel_keeps_the_job_in_the_history_and_frees_its_key(shell: Shell, queue: Tables) -> None:
    ready = shell("enqueue", "orders", '{"n": 1}', "--unique-key", "k").out.strip()
    later = shell("enqueue", "orders", '{"n": 2}', "--unique-key", "l", "--delay", 60).out.strip()
    assert shell("jobs", "cancel", ready, later).code == 0
    assert queue.unfinished() == 0
    assert [(row["state"], row["n"]) for row in queue.history()] == [("cancelled", 1), ("cancelled", 2)]
    assert queue.query("select * from workerpool.unique_key") == []
    assert shell("jobs", "show", ready, "--json").json["state"] == "cancelled"
    again = shell("jobs", "cancel", ready)
    assert (again.code, again.out) == (0, f"job {ready}: it is cancelled already\n")


def test_cancel_takes_a_running_job_from_its_runner(shell: Shell, queue: Tables, every_state: dict[str, int]) -> None:
    job_id = every_state["in-flight"]
    assert "its runner cuts the handler off" in shell("jobs", "cancel", job_id).out
    (stale,) = queue.query(
        "select workerpool.finish(%s, array[q.id], array[0::smallint], array[%s::bigint], array[1], array[1]) as ids "
        "from workerpool.queue q where q.name = 'orders'",
        BOOT, job_id,
    )  # fmt: skip
    assert stale["ids"] == [job_id]
    assert [row["state"] for row in queue.history() if row["id"] == job_id] == ["cancelled"]


def test_cancel_refuses_what_is_over(shell: Shell, every_state: dict[str, int]) -> None:
    result = shell("jobs", "cancel", every_state["dead"], every_state["completed"])
    assert result.code == 1
    assert "use `workerpool dlq drop`" in result.err
    assert "it is completed already" in result.err
