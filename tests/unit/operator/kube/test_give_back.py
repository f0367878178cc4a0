"""A leader that ends gives its Lease back, whatever became of the renewal that its end cut off."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

import pytest

from workerpool_operator.kube.api import Body, Conflict, KubeApi, NotFound, Resource
from workerpool_operator.kube.lease import Candidate, Trusted, lead

TIMES = (6000.0, 4000.0, 0.001)
"""Duration, trust and retry: nothing runs out here, and the first renewal comes soon."""


class Server:
    """Holds one Lease, and never answers its first renewal. ``strike`` is what befalls the Lease by then."""

    def __init__(self, strike: Callable[["Server", Body], None]) -> None:
        self.lease: Body = {}
        self.renewing = asyncio.Event()
        self._strike = strike

    async def get(self, _resource: Resource, _namespace: str, name: str) -> Body:
        if not self.lease:
            raise NotFound(404, "NotFound", name)
        return self.lease

    async def create(self, _resource: Resource, body: Body) -> Body:
        return self.put(body)

    async def update(self, _resource: Resource, body: Body) -> Body:
        if not self.renewing.is_set():
            self._strike(self, body)
            self.renewing.set()
            await asyncio.Event().wait()
        if not self.lease:
            raise NotFound(404, "NotFound", "leader")
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        return self.put(body)

    def put(self, body: Body) -> Body:
        """The object with its new version."""
        version = int(body["metadata"].get("resourceVersion", "0")) + 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
        return self.lease

    @property
    def holder(self) -> str:
        """Who has the Lease."""
        return str(self.lease["spec"]["holderIdentity"])


def _arrives(server: Server, renewal: Body) -> None:
    server.put(renewal)


def _is_lost(_server: Server, _renewal: Body) -> None:
    """The renewal never reaches the server."""


def _finds_a_note(server: Server, _renewal: Body) -> None:
    server.put({**server.lease, "metadata": {**server.lease["metadata"], "annotations": {"note": "hello"}}})


def _finds_another(server: Server, _renewal: Body) -> None:
    server.put({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "other"}})


def _finds_nothing(server: Server, _renewal: Body) -> None:
    server.lease = {}


async def _ended(server: Server, *, cancelled: bool) -> None:
    """A whole tenure: its work ends, or the call is cancelled, while a renewal is under way."""
    finish = asyncio.Event()

    async def work(_: Trusted) -> None:
        await finish.wait()

    candidate = Candidate("shop", "leader", "me", *TIMES)
    # The clock stands still: so does the window of trust, however slow the machine.
    call = lead(cast("KubeApi", server), candidate, work, steady=lambda: 0.0, wall=lambda: datetime.now(UTC))
    leading = asyncio.create_task(call)
    await server.renewing.wait()
    if cancelled:
        leading.cancel()
    finish.set()
    with suppress(asyncio.CancelledError):
        await leading


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("strike", [_arrives, _is_lost, _finds_a_note])
async def test_the_lease_is_free_afterwards(strike: Callable[[Server, Body], None], cancelled: bool) -> None:
    server = Server(strike)
    await _ended(server, cancelled=cancelled)
    assert server.holder == ""
    assert server.lease["spec"]["leaseDurationSeconds"] == 1


async def test_the_lease_of_another_is_left_alone() -> None:
    server = Server(_finds_another)
    await _ended(server, cancelled=True)
    assert server.holder == "other"


async def test_a_lease_that_is_gone_stays_so() -> None:
    server = Server(_finds_nothing)
    await _ended(server, cancelled=True)
    assert server.lease == {}
