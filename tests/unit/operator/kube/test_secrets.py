"""Secrets in virtual time: how often they are read, and what is remembered of them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from tests.support.virtual_time import VirtualLoop, run, until
from workerpool_contract.backlog import Unknown
from workerpool_contract.secretrefs import SecretKeyRef
from workerpool_operator.kube.api import Body, Forbidden, KubeApi, NotFound, Resource
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.owned import Sightings
from workerpool_operator.kube.secrets import Secrets

POOL, REFERENCE = PoolKey("shop", "orders"), SecretKeyRef(name="queue-db")


@dataclass
class Api:
    """Answers `get`, the only thing that is asked, as a test says."""

    takes: float = 0.0
    answer: Body | Exception = field(default_factory=dict)
    asked: dict[str, list[float]] = field(default_factory=dict)

    async def get(self, resource: Resource, _: str, name: str) -> Body:
        """The answer of the test."""
        assert resource.kind == "Secret"
        now = asyncio.get_running_loop().time()
        self.asked.setdefault(name, []).append(now)
        await until(now + self.takes)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def secret(version: int, url: str = "postgresql://db/one", key: str = "url") -> Body:
    """A Secret with one key."""
    return {"metadata": {"resourceVersion": str(version)}, "data": {key: base64.b64encode(url.encode()).decode()}}


def play(scenario: Callable[[Api, Secrets, list[PoolKey]], Awaitable[None]], **setting: Any) -> Api:
    """Plays a scenario while the Secrets are polled."""

    async def whole(_: VirtualLoop) -> Api:
        api, told = Api(**setting), list[PoolKey]()
        secrets = Secrets(cast("KubeApi", api), told.append)
        polling = asyncio.create_task(secrets.poll())
        await scenario(api, secrets, told)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        return api

    return run(whole)


def test_a_slow_api_server_delays_no_secret() -> None:
    """A hundred Secrets of 0.3 s each would take half a minute one after the other."""

    async def scenario(_: Api, secrets: Secrets, __: list[PoolKey]) -> None:
        for number in range(100):
            await secrets.url(PoolKey("shop", f"pool-{number}"), SecretKeyRef(name=f"secret-{number}"))
        await until(asyncio.get_running_loop().time() + 60)

    asked = play(scenario, takes=0.3, answer=secret(1)).asked
    gaps = [after - before for times in asked.values() for before, after in pairwise(times[1:])]
    assert len(gaps) > 500
    assert max(gaps) < 7


def test_a_value_is_remembered_while_it_cannot_be_read() -> None:
    async def scenario(api: Api, secrets: Secrets, told: list[PoolKey]) -> None:
        await secrets.url(POOL, REFERENCE)
        assert secrets.sightings(POOL) == Sightings("4", "4")
        troubles: list[Body | Exception] = [Forbidden(403, "Forbidden", ""), NotFound(404, "NotFound", "")]
        for number, trouble in enumerate([*troubles, secret(5, key="other")]):
            api.answer = trouble
            await until(10 + number * 20)
            assert isinstance(await secrets.url(POOL, REFERENCE), Unknown)
            assert secrets.sightings(POOL) is None
            api.answer = secret(6 + number)
            await until(20 + number * 20)
            assert secrets.sightings(POOL) == Sightings("4", str(6 + number))
        api.answer = secret(9, "postgresql://db/two")
        await until(70)
        assert secrets.sightings(POOL) == Sightings("9", "9")
        assert len(told) == 7

    play(scenario, answer=secret(4))
