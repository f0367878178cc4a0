"""`workerpool topology`: what a broker lacks, and declaring it; nothing that exists is ever changed."""

import json
from urllib.parse import quote

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.patience import until
from tests.support.rabbitmq import PASSWORD, Vhost

pytestmark = pytest.mark.rabbitmq


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
    assert applied.code == 1
    assert "~ queue raw_sessions (quorum)\n" in applied.out
    assert "    - x-delivery-limit: 5\n    + x-delivery-limit: 20\n" in applied.out
    assert "means: " in applied.out
    assert "rabbitmqctl set_policy" in applied.out
    assert place.api("GET", "queues/{}/raw_sessions")["arguments"] == arguments
    (change,) = [it for it in shell("topology", "plan", "--json").json["things"] if it["state"] != "same"]
    assert change["thing"] == "queue raw_sessions (quorum)"
    assert {"argument": "x-delivery-limit", "has": 5, "wanted": 20} in change["differences"]


def test_the_policy_that_a_plan_proposes_cures_it(shell: Shell, place: Vhost) -> None:
    place.api("PUT", "queues/{}/mail", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    shell("topology", "apply", "mail")
    (change,) = [it for it in shell("topology", "plan", "mail", "--json").json["things"] if it["state"] != "same"]
    (cure,) = change["cures"]
    definition = {it["argument"].removeprefix("x-"): it["wanted"] for it in change["differences"]}
    assert json.dumps(definition) in cure
    place.api(
        "PUT", "policies/{}/cure", {"pattern": "^mail$", "definition": definition, "apply-to": "queues", "priority": 1}
    )
    # The management API tells of a policy when it has collected statistics.
    until(lambda: shell("topology", "plan", "mail").code == 0, 45, "the policy cured it")


@pytest.mark.parametrize("by_api", [True, False])
def test_waits_that_a_deleted_queue_could_stop_are_shown(
    shell: Shell, place: Vhost, monkeypatch: pytest.MonkeyPatch, *, by_api: bool
) -> None:
    if not by_api:
        monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", "http://127.0.0.1:1")
    place.api("PUT", "exchanges/{}/workerpool.lanes", {"type": "direct", "durable": True})
    for command in ("plan", "apply"):
        found = shell("topology", command, "mail")
        assert found.code == 1
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
    assert applied.code == 1
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
