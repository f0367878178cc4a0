"""Leader election: exactly one leads, leadership changes hands in time, and who is in doubt does not write."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from tests.api.conftest import Connect
from tests.support.apiserver import ApiServer
from tests.support.waiting import eventually
from workerpool_operator.kube.api import LEASES, SECRETS, Body, KubeApi, Resource
from workerpool_operator.kube.client import Client
from workerpool_operator.kube.guard import Guarded, NotLeading
from workerpool_operator.kube.lease import Candidate, Trusted, lead

pytestmark = pytest.mark.kubernetes

PATIENT = (60.0, 40.0, 0.1)
"""Duration, trust and retry where a lease must not run out."""
HASTY = (60.0, 5.0, 0.1)
"""The same where the window of trust is to close soon; between both is time for a slow machine."""


class Stand:
    """One candidate, and what became of it."""

    def __init__(self) -> None:
        self.trusted: Trusted | None = None
        self.terms = 0
        self.finish = asyncio.Event()
        self.problem: Exception | None = None

    @property
    def leads(self) -> bool:
        """Whether its work runs."""
        return self.trusted is not None

    async def work(self, trusted: Trusted) -> None:
        self.trusted = trusted
        self.terms += 1
        try:
            await self.finish.wait()
            if self.problem:
                raise self.problem
        finally:
            self.trusted = None


def _run(
    api: KubeApi, stand: Stand, namespace: str, identity: str, times: tuple[float, float, float]
) -> asyncio.Task[None]:
    candidate = Candidate(namespace, "leader", identity, *times)
    call = lead(api, candidate, stand.work, steady=time.monotonic, wall=lambda: datetime.now(UTC))
    return asyncio.create_task(call)


@asynccontextmanager
async def _standing(
    api: KubeApi, namespace: str, identity: str, times: tuple[float, float, float] = PATIENT
) -> AsyncIterator[Stand]:
    stand = Stand()
    task = _run(api, stand, namespace, identity, times)
    try:
        yield stand
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until(condition: Callable[[], bool], what: str) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds, what)


async def _holder(kube: Client, namespace: str) -> str:
    return str((await kube.get(LEASES, namespace, "leader"))["spec"]["holderIdentity"])


async def test_one_of_two_leads_and_hands_over_at_once_when_it_ends(connect: Connect, namespace: str) -> None:
    one, two = connect(), connect()
    async with _standing(one, namespace, "two") as second, _standing(two, namespace, "one") as first:
        await _until(lambda: first.leads or second.leads, "one leads")
        ahead = first if first.leads else second
        assert ahead.trusted is not None
        assert ahead.trusted()
        assert not (first.leads and second.leads)
    async with _standing(one, namespace, "three") as third:
        begun = time.monotonic()
        await _until(lambda: third.leads, "the next leads")
        assert time.monotonic() - begun < PATIENT[0] / 2
    lease = await one.get(LEASES, namespace, "leader")
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseTransitions"] >= 1


async def test_a_follower_takes_over_while_the_leader_ends(connect: Connect, namespace: str) -> None:
    follower, stand = connect(), Stand()
    async with _standing(connect(), namespace, "first") as first:
        await _until(lambda: first.leads, "the first leads")
        waiting = _run(follower, stand, namespace, "second", PATIENT)
        assert await _holder(follower, namespace) == "first"
        assert not stand.leads
    await _until(lambda: stand.leads, "the second leads")
    assert await _holder(follower, namespace) == "second"
    stand.finish.set()
    await waiting
    assert await _holder(follower, namespace) == ""


async def test_an_error_of_the_work_comes_out_and_frees_the_lease(connect: Connect, namespace: str) -> None:
    kube, stand = connect(), Stand()
    stand.problem = ValueError("broken")
    stand.finish.set()
    with pytest.raises(ValueError, match="broken"):
        await _run(kube, stand, namespace, "one", PATIENT)
    assert await _holder(kube, namespace) == ""


async def test_who_finds_another_name_in_the_lease_stops(connect: Connect, namespace: str) -> None:
    kube = connect()
    async with _standing(kube, namespace, "one") as stand:
        await _until(lambda: stand.leads, "it leads")
        await kube.merge(LEASES, namespace, "leader", {"spec": {"holderIdentity": "other"}})
        await _until(lambda: not stand.leads, "it stopped")
    assert await _holder(kube, namespace) == "other"


async def test_an_edit_of_the_lease_by_others_costs_nothing(connect: Connect, namespace: str) -> None:
    kube = connect()
    async with _standing(kube, namespace, "one") as stand:
        await _until(lambda: stand.leads, "it leads")
        noted = await kube.merge(LEASES, namespace, "leader", {"metadata": {"annotations": {"note": "hello"}}})

        async def renewed() -> bool:
            lease = await kube.get(LEASES, namespace, "leader")
            return bool(lease["spec"]["renewTime"] > noted["spec"]["renewTime"])

        await eventually(renewed, "it renewed after the edit")
        assert (stand.leads, stand.terms) == (True, 1)


async def test_a_leader_without_api_server_stops_within_its_window(
    api_server: ApiServer, connect: Connect, namespace: str
) -> None:
    async with _standing(connect(), namespace, "one", HASTY) as stand:
        await _until(lambda: stand.leads, "it leads")
        trusted = stand.trusted
        assert trusted is not None
        try:
            api_server.end("kube-apiserver")
            begun = time.monotonic()
            await _until(lambda: not stand.leads, "it stopped")
            assert time.monotonic() - begun < HASTY[0]
            assert not trusted()
            before = stand.terms
        finally:
            api_server.start()
        await _until(lambda: stand.leads, "it leads again")
        assert stand.terms > before


async def test_a_lease_that_is_forbidden_is_told_once(
    api_server: ApiServer, connect: Connect, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    api_server.kubectl("create", "serviceaccount", "weak", f"--namespace={namespace}")
    weak = connect(api_server.token(namespace, "weak"))

    async def refused_often() -> bool:
        calls = [entry.get("objectRef", {}) for entry in api_server.audit_log()]
        return len([it for it in calls if (it.get("resource"), it.get("namespace")) == ("leases", namespace)]) >= 3

    async with _standing(weak, namespace, "one"):
        await eventually(refused_often, "three attempts")
    assert [record.message for record in caplog.records].count("Could not reach the lease") == 1


async def test_the_guard_lets_nothing_be_written_without_trust(connect: Connect, namespace: str) -> None:
    trust, written = True, list[Resource]()
    guarded = Guarded(connect(), lambda: trust, written.append)
    body: Body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "one"}}
    created = await guarded.create(SECRETS, body)
    changed = {**body, "metadata": {**body["metadata"], "labels": {"changed": "yes"}}}
    trust = False
    writes: list[Callable[[], Awaitable[Body]]] = [
        lambda: guarded.create(SECRETS, changed),
        lambda: guarded.update(SECRETS, changed),
        lambda: guarded.merge(SECRETS, namespace, "one", changed),
        lambda: guarded.apply(SECRETS, changed, manager="test"),
    ]
    for write in writes:
        with pytest.raises(NotLeading, match="nothing is written"):
            await write()
    assert written == [SECRETS]
    found = await guarded.list(SECRETS, namespace)
    assert [(await guarded.get(SECRETS, namespace, "one"))["metadata"]["resourceVersion"], len(found)] == [
        created["metadata"]["resourceVersion"],
        1,
    ]


@pytest.mark.parametrize("times", [(15, 15, 2), (15, 2, 2), (15, 10, 0)])
def test_times_that_cannot_work_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Candidate("namespace", "name", "identity", *times)
