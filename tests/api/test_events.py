"""Events reach the people that look at a pool, and never hold up its reconciliation."""

import logging
from datetime import UTC, datetime

import pytest

from tests.api.conftest import Connect
from tests.support.apiserver import ApiServer
from workerpool_operator.kube.api import EVENTS, POOLS, Body
from workerpool_operator.kube.client import Client
from workerpool_operator.kube.events import LONGEST_NOTE, QUIET_SECONDS, Recorder
from workerpool_operator.platform import Happening, Severity

pytestmark = pytest.mark.kubernetes

SCALED = Happening(Severity.NORMAL, "ScaledUp", "2 → 5 replicas: 40 jobs wait")
UNKNOWN = Happening(Severity.WARNING, "BacklogUnknown", "Postgres at db:5432/shop does not answer")


@pytest.fixture
async def pool(kube: Client, namespace: str) -> Body:
    spec = {"source": {"postgres": {"queue": "orders", "urlSecretRef": {"name": "db"}}}, "worker": {"app": "shop"}}
    meta = {"namespace": namespace, "name": "orders"}
    return await kube.create(
        POOLS, {"apiVersion": POOLS.api_version, "kind": POOLS.kind, "metadata": meta, "spec": spec}
    )


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _recorder(client: Client, steady: Clock | None = None) -> Recorder:
    return Recorder(client, "operator-0", steady=steady or Clock(), wall=lambda: datetime.now(UTC))


async def _notes(kube: Client, namespace: str) -> list[tuple[str, str, str]]:
    return [(event["type"], event["reason"], event["note"]) for event in await kube.list(EVENTS, namespace)]


async def test_kubectl_shows_what_happened(api_server: ApiServer, kube: Client, namespace: str, pool: Body) -> None:
    await _recorder(kube).record(pool, [SCALED, UNKNOWN])

    described = api_server.kubectl("describe", "wp", "orders", f"--namespace={namespace}")
    told = {tuple(line.split(maxsplit=4)) for line in described[described.index("Events:") :].splitlines()[3:]}
    assert {(kind, reason, *words) for kind, reason, _, *words in told} == {
        (str(each.severity), each.reason, "workerpool.dev/operator", each.message) for each in (SCALED, UNKNOWN)
    }
    listed = api_server.kubectl("get", "events", f"--namespace={namespace}", "--no-headers")
    assert "workerpool/orders" in listed
    assert UNKNOWN.message in listed


async def test_the_same_is_said_again_only_after_a_while(kube: Client, namespace: str, pool: Body) -> None:
    clock = Clock()
    recorder = _recorder(kube, clock)
    for clock.seconds in (0, 1, QUIET_SECONDS - 1):
        await recorder.record(pool, [SCALED])
    assert len(await _notes(kube, namespace)) == 1
    await recorder.record({"metadata": {**pool["metadata"], "uid": "another"}}, [SCALED])
    await recorder.record(pool, [UNKNOWN])
    clock.seconds = QUIET_SECONDS
    await recorder.record(pool, [SCALED])
    assert len(await _notes(kube, namespace)) == 4


async def test_a_long_message_is_cut(kube: Client, namespace: str, pool: Body) -> None:
    await _recorder(kube).record(pool, [Happening(Severity.NORMAL, "ScaledUp", "x" * 5000)])
    assert await _notes(kube, namespace) == [("Normal", "ScaledUp", "x" * LONGEST_NOTE)]


async def test_an_event_that_cannot_be_written_is_logged_and_forgotten(
    api_server: ApiServer, connect: Connect, pool: Body, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    api_server.kubectl("create", "serviceaccount", "stranger", f"--namespace={namespace}")
    stranger = connect(api_server.token(namespace, "stranger"))
    with caplog.at_level(logging.WARNING, "workerpool_operator.kube.events"):
        await _recorder(stranger).record(pool, [SCALED])
    assert caplog.messages == ["Could not write an event"]
