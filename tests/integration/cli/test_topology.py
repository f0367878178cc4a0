"""`workerpool topology`: what a broker lacks, and declaring it; nothing that exists is ever changed."""

import json
import re
import shlex
from urllib.parse import quote

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.patience import until
from tests.support.rabbitmq import PASSWORD, Vhost
from workerpool_contract.rabbitmq import Arguments

pytestmark = pytest.mark.rabbitmq

DOCUMENTED = r"""rabbitmqctl set_policy -p / --apply-to queues 'workerpool raw_sessions' '^raw_sessions$' \
  '{"dead-letter-exchange": "", "dead-letter-routing-key": "raw_sessions.dead",
    "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}'"""
"""What docs/rabbitmq.md tells the owner of such a queue to type, for the vhost /."""


@pytest.fixture
def place(shell: Shell, vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> Vhost:
    """An empty vhost that the environment names, with its management API."""
    monkeypatch.setenv("WORKERPOOL_URL", vhost.url)
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", vhost.management_url)
    return vhost


def test_a_plan_changes_nothing_and_apply_makes_it_so(shell: Shell, place: Vhost) -> None:
    plan = shell("topology", "plan", "mail", "mail@eu")
    assert plan.code == 1
    assert "+ queue mail@eu.high (quorum)\n" in plan.out
    assert "+ binding workerpool.topics → mail@eu (key mail)\n" in plan.out
    assert "seen by the management API" in plan.out
    assert place.api("GET", "queues/{}") == []
    assert shell("topology", "apply", "mail", "mail@eu").code == 0
    again = shell("topology", "plan", "mail", "mail@eu")
    assert again.code == 0
    assert again.out.splitlines()[1].startswith("0 to declare, 0 different, ")


def test_the_queue_of_the_service_before_keeps_its_arguments(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5}
    place.api("PUT", "queues/{}/raw_sessions", {"durable": True, "arguments": arguments})
    monkeypatch.setenv("RABBITMQ_QUEUE", "raw_sessions")
    applied = shell("topology", "apply")
    assert applied.code == 0
    assert applied.err == "used as it is, with other arguments: queue raw_sessions (quorum)\n"
    assert shell("topology", "plan").code == 5
    assert "~ queue raw_sessions (quorum)\n" in applied.out
    assert "    - x-delivery-limit: 5\n    + x-delivery-limit: 20\n" in applied.out
    assert "means: " in applied.out
    assert "rabbitmqctl set_policy" in applied.out
    assert place.api("GET", "queues/{}/raw_sessions")["arguments"] == arguments
    (change,) = [it for it in shell("topology", "plan", "--json").json["things"] if it["state"] != "same"]
    assert change["thing"] == "queue raw_sessions (quorum)"
    assert {"argument": "x-delivery-limit", "has": 5, "wanted": 20} in change["differences"]


@pytest.mark.parametrize(
    "arguments", [{"x-queue-type": "quorum"}, {"x-queue-type": "quorum", "x-delivery-limit": 5}, {}]
)
def test_the_cures_that_a_plan_prints_cure_and_lose_nothing(shell: Shell, place: Vhost, arguments: Arguments) -> None:
    place.api("PUT", "queues/{}/mail", {"durable": True, "arguments": arguments})
    shell("topology", "apply", "mail")
    message = {"routing_key": "mail", "properties": {}, "payload": "1", "payload_encoding": "string"}
    place.api("POST", "exchanges/{}/amq.default/publish", message)
    (change,) = [it for it in shell("topology", "plan", "mail", "--json").json["things"] if it["state"] != "same"]
    said = {type_: sum(type_ in cure for cure in change["cures"]) for type_ in ("set_policy", "delete_queue")}
    quorum, limited = "x-queue-type" in arguments, "x-delivery-limit" in arguments
    assert said == {"set_policy": int(quorum), "delete_queue": int(limited or not quorum)}
    for line in "\n".join(change["cures"]).splitlines():
        _carry_out(line, shell, place)
    # The management API tells of a policy when it has collected statistics.
    until(lambda: shell("topology", "plan", "mail").code == 0, 45, "the plan's cure cured it")


def test_the_documented_policy_is_the_one_that_the_plan_prints_and_leaves_no_difference(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5}
    place.api("PUT", "queues/{}/raw_sessions", {"durable": True, "arguments": arguments})
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_DELIVERY_LIMIT", "5")
    assert shell("topology", "apply", "raw_sessions").code == 0
    (change,) = [it for it in shell("topology", "plan", "raw_sessions", "--json").json["things"] if it["differences"]]
    (cure,) = change["cures"]
    words = shlex.split(DOCUMENTED.replace("\\\n", ""))
    words[words.index("/")] = place.name
    *printed, policy = shlex.split(cure.partition("`")[2].rstrip("`"))
    assert (printed, json.loads(policy)) == (words[:-1], json.loads(words[-1]))
    place.broker.ctl(*words[1:])
    until(lambda: shell("topology", "plan", "raw_sessions").code == 0, 45, "the policy left no difference")


def _carry_out(line: str, shell: Shell, place: Vhost) -> None:
    """What a person does who follows ``line`` of a plan: its commands as they are, until they show what they should."""
    for program, *words in map(shlex.split, re.findall("`(.*?)`", line)):
        if words[0] == "list_queues":
            _until_counted(place, words, 1)
            place.api("POST", "queues/{}/mail/get", {"count": 9, "ackmode": "ack_requeue_false", "encoding": "auto"})
            _until_counted(place, words, 0)
        elif program == "rabbitmqctl":
            place.broker.ctl(*words)
        else:
            done = shell(*words)
            assert done.code == 0
            assert words[:2] != ["jobs", "list"] or "No jobs" in done.out + done.err


def _until_counted(place: Vhost, words: list[str], messages: int) -> None:
    until(lambda: f"mail\t{messages}\n" in place.broker.ctl(*words), 45, f"{messages} messages in the queue are shown")


def test_a_classic_queue_is_called_so_and_offered_no_policy(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.api("PUT", "queues/{}/mail", {"durable": True, "arguments": {}})
    plans = [shell("topology", "plan", "mail").out]
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", "http://127.0.0.1:1")
    plans.append(shell("topology", "plan", "mail").out)
    for plan in plans:
        assert "~ queue mail (classic)\n" in plan
        assert '    - x-queue-type: "classic"\n    + x-queue-type: "quorum"\n' in plan
        assert plan.count("means:") == 3
        assert "set_policy" not in plan


@pytest.mark.parametrize("by_api", [True, False])
def test_waits_that_a_deleted_queue_could_stop_are_shown(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch, *, by_api: bool
) -> None:
    if not by_api:
        monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", "http://127.0.0.1:1")
    place.api("PUT", "exchanges/{}/workerpool.lanes", {"type": "direct", "durable": True})
    for command, code in (("plan", 1), ("apply", 0), ("plan", 5)):
        found = shell("topology", command, "mail")
        assert found.code == code
        assert (
            '~ exchange workerpool.lanes (direct)\n    + alternate-exchange: "workerpool.unrouted"\n    means: '
        ) in found.out
    place.api("DELETE", "exchanges/{}/workerpool.lanes")
    assert shell("topology", "apply", "mail").code == 0


def test_without_the_management_api_amqp_tells_what_it_can(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", "http://app:hunter22@127.0.0.1:1")
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5}
    place.api("PUT", "queues/{}/mail", {"durable": True, "arguments": arguments})
    plan = shell("topology", "plan", "mail", "--json")
    assert plan.code == 1
    assert plan.json["readBy"] == "AMQP"
    assert "http://127.0.0.1:1 can't be reached" in plan.err
    assert "hunter22" not in plan.err
    states = {it["thing"]: it["state"] for it in plan.json["things"]}
    assert states["queue mail (quorum)"] == "different"
    assert states["queue mail.dead (quorum)"] == "missing"
    assert states["binding workerpool.topics → mail (key mail)"] == "unseen"
    assert [it["name"] for it in place.api("GET", "queues/{}")] == ["mail"]
    applied = shell("topology", "apply", "mail", "--json")
    assert applied.code == 0
    assert {it["state"] for it in applied.json["things"] if "mail (quorum)" not in it["thing"]} == {"same"}


def test_a_refused_page_is_named_by_its_status(shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = place.management_url.replace(quote(PASSWORD, safe=""), "hunter22")
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", wrong)
    plan = shell("topology", "plan")
    assert "answers 401" in plan.err
    assert "seen by AMQP" in plan.out
    assert "hunter22" not in plan.err


def test_bad_input_is_refused(shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "queue: 'amq.x' begins with a reserved prefix" in _refused(shell, "amq.x")
    monkeypatch.setenv("WORKERPOOL_URL", "postgresql://app@127.0.0.1:1/queue")
    assert "topology is a matter of RabbitMQ" in _refused(shell, "mail")


def test_a_broker_that_is_not_there_ends_with_3(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_URL", "amqp://app:hunter22@127.0.0.1:1/")
    result = shell("topology", "plan")
    assert result.code == 3
    assert "hunter22" not in result.err


def _refused(shell: Shell, queue: str) -> str:
    result = shell("topology", "plan", queue)
    assert result.code == 2
    return result.err
