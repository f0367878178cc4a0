"""Secrets in virtual time: how often they are read, and what is remembered of them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from tests.support.virtual_time import VirtualLoop, run, until
from workerpool_contract.secretrefs import (
    CredentialsSecretRef,
    SecretKeyRef,
    SecretUse,
    credentials_uses,
    management_use,
    url_use,
)
from workerpool_operator.backlog.endpoints import Lack
from workerpool_operator.kube.api import Body, Forbidden, KubeApi, NotFound, Resource
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.owned import Sightings
from workerpool_operator.kube.secrets import Secrets

POOL = PoolKey("shop", "orders")


def url_in(name: str) -> SecretUse:
    """The use of a connection URL in this Secret."""
    return url_use(SecretKeyRef(name=name), "spec.source.postgres.urlSecretRef")


USE = url_in("queue-db")


@dataclass
class Api:
    """Answers `get`, the only thing that is asked, as a test says."""

    takes: float = 0.0
    answer: Body | Exception = field(default_factory=dict)
    others: dict[str, Body | Exception] = field(default_factory=dict)
    asked: dict[str, list[float]] = field(default_factory=dict)

    async def get(self, resource: Resource, _: str, name: str) -> Body:
        """The answer of the test."""
        assert resource.kind == "Secret"
        now = asyncio.get_running_loop().time()
        self.asked.setdefault(name, []).append(now)
        await until(now + self.takes)
        answer = self.others.get(name, self.answer)
        if isinstance(answer, Exception):
            raise answer
        return answer


def secret(version: int, url: str = "postgresql://db/one", key: str = "url", **more: str) -> Body:
    """A Secret with one key, and more."""
    data = {name: base64.b64encode(value.encode()).decode() for name, value in {key: url, **more}.items()}
    return {"metadata": {"resourceVersion": str(version)}, "data": data}


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
            await secrets.values(PoolKey("shop", f"pool-{number}"), [url_in(f"secret-{number}")])
        await until(asyncio.get_running_loop().time() + 60)

    asked = play(scenario, takes=0.3, answer=secret(1)).asked
    gaps = [after - before for times in asked.values() for before, after in pairwise(times[1:])]
    assert len(gaps) > 500
    assert max(gaps) < 7


def test_a_value_is_remembered_while_it_cannot_be_read() -> None:
    async def scenario(api: Api, secrets: Secrets, told: list[PoolKey]) -> None:
        assert secrets.sightings(POOL) is None
        await secrets.values(POOL, [USE])
        assert secrets.sightings(POOL) == {"queue-db": Sightings("4", "4")}
        troubles: list[Body | Exception] = [Forbidden(403, "Forbidden", ""), NotFound(404, "NotFound", "")]
        for number, trouble in enumerate([*troubles, secret(5, key="other")]):
            api.answer = trouble
            await until(10 + number * 20)
            assert isinstance((await secrets.values(POOL, [USE]))[USE], Lack)
            assert secrets.sightings(POOL) == {"queue-db": None}
            api.answer = secret(6 + number)
            await until(20 + number * 20)
            assert secrets.sightings(POOL) == {"queue-db": Sightings("4", str(6 + number))}
        api.answer = secret(9, "postgresql://db/two")
        await until(70)
        assert secrets.sightings(POOL) == {"queue-db": Sightings("9", "9")}
        assert len(told) == 7

    play(scenario, answer=secret(4))


MQ = credentials_uses(CredentialsSecretRef(name="mq"), "spec.source.rabbitmq.credentialsSecretRef")
ADDRESS = management_use(SecretKeyRef(name="address"), "spec.source.rabbitmq.management.urlSecretRef")


def credentials(version: int, word: str = "one") -> Body:
    """A Secret with a user name and a password."""
    return secret(version, "shop", "username", password=word)


def test_several_secrets_of_a_pool_are_known_and_told_apart() -> None:
    async def scenario(api: Api, secrets: Secrets, told: list[PoolKey]) -> None:
        found = await secrets.values(POOL, [*MQ, ADDRESS])
        assert [answer if isinstance(answer, Lack) else answer.text for answer in found.values()] == [
            "shop",
            "one",
            Lack.FORBIDDEN,
        ]
        assert secrets.sightings(POOL) == {"mq": Sightings("4", "4")}
        api.others["mq"] = credentials(6, "two")
        await until(10)
        assert secrets.sightings(POOL) == {"mq": Sightings("6", "6")}
        assert told == [POOL]
        api.others["address"] = secret(7, "http://mq:15672")
        await until(20)
        assert secrets.sightings(POOL) == {"mq": Sightings("6", "6")}
        assert told == [POOL, POOL]

    play(scenario, others={"mq": credentials(4), "address": Forbidden(403, "Forbidden", "")})


def test_a_secret_that_a_pool_goes_on_using_keeps_what_is_known_of_it() -> None:
    async def scenario(api: Api, secrets: Secrets, _: list[PoolKey]) -> None:
        await secrets.values(POOL, MQ)
        api.others["mq"] = credentials(6)
        await until(10)
        await secrets.values(POOL, [*MQ, ADDRESS])
        assert secrets.sightings(POOL) == {"mq": Sightings("4", "6")}
        asked = len(api.asked["mq"])
        await secrets.values(POOL, [MQ[0]])
        assert len(api.asked["mq"]) == asked
        secrets.forget(POOL)
        asked, others = len(api.asked["mq"]), len(api.asked["address"])
        await until(60)
        assert (len(api.asked["mq"]), len(api.asked["address"])) == (asked, others)

    play(scenario, others={"mq": credentials(4), "address": secret(5, "http://mq:15672")})
