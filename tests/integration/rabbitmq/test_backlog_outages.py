"""Backlogs while a broker restarts, loses its plugins or speaks TLS: what is not known is never taken for zero."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import broker_node as node
from tests.support.authority import make_authority
from tests.support.backlog_stage import Stage, client, endpoint_of, staged
from tests.support.broker_programs import command
from tests.support.rabbitmq import Broker, throw_away_broker
from tests.support.waiting import eventually
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_operator.backlog.rabbitmq.reader import RabbitmqBacklog

pytestmark = [pytest.mark.rabbitmq, pytest.mark.crash]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A server of this module's own."""
    with throw_away_broker(tls=True) as made:
        yield made


async def test_a_restart_is_never_an_empty_queue(broker: Broker) -> None:
    """For seconds after it, the management API lists queues without their counts."""
    vhost = broker.create_vhost()
    async with client(vhost.url) as made:
        await made.declare("q")
        await made.publish("q", 5)
    endpoint = endpoint_of(vhost)
    by_amqp = RabbitmqBacklog(endpoint, timeout=20.0)
    by_page = RabbitmqBacklog(replace(endpoint, url=endpoint.url.replace(f":{broker.amqp_port}/", ":9/")))
    seen: list[Reading] = []

    async def all_are(kind: type[Backlog | Unknown]) -> bool:
        latest = [(await reader.read(["q"]))["q"] for reader in (by_amqp, by_page)]
        seen.extend(latest)
        return all(isinstance(reading, kind) for reading in latest)

    try:
        await eventually(lambda: all_are(Backlog), "five jobs, by both ways", within=60)
        await asyncio.to_thread(broker.kill)
        await eventually(lambda: all_are(Unknown), "that nobody knows", within=60)
        await asyncio.to_thread(broker.start)
        await eventually(lambda: all_are(Backlog), "five jobs again, by both ways", within=90)
    finally:
        await asyncio.gather(by_amqp.close(), by_page.close())
    assert {reading.ready for reading in seen if isinstance(reading, Backlog)} == {5}


async def test_tls_with_a_private_authority(broker: Broker, tmp_path: Path) -> None:
    vhost = broker.create_vhost()
    assert broker.authority is not None
    other = make_authority(tmp_path, broker.host)
    endpoint = replace(endpoint_of(vhost, management=False, prometheus=False), url=vhost.tls_url)
    async with staged(vhost, replace(endpoint, authority=broker.authority.certificate.read_text())) as stage:
        await stage.client.publish("q", 2)
        assert await stage.read() == Backlog(2)
    for wrong in (endpoint, replace(endpoint, authority=other.certificate.read_text())):
        reason = await _reason(wrong_reader := RabbitmqBacklog(wrong, timeout=45.0))
        await wrong_reader.close()
        assert "has a certificate that is not trusted here; set spec.source.rabbitmq.tls.caSecretRef" in reason
    plain = RabbitmqBacklog(
        replace(endpoint, url=vhost.tls_url.replace(f":{broker.tls_port}/", f":{broker.amqp_port}/")),
        timeout=45.0,
    )
    assert "can't be spoken to by TLS" in await _reason(plain)
    await plain.close()
    broker.drop_vhost(vhost)


async def test_without_plugins_one_witness_after_the_other_is_missed(broker: Broker) -> None:
    vhost = broker.create_vhost()
    async with staged(vhost) as stage:
        await stage.client.publish("q", 5)
        await stage.client.take("q", 2)
        await _held_by_a_stranger(stage)
        await asyncio.to_thread(_disable, broker, "rabbitmq_management")
        await eventually(lambda: _page_is(stage, broker.prometheus_url), "the other page")
        await _held_by_a_stranger(stage)
        await asyncio.to_thread(_disable, broker, "rabbitmq_prometheus")
        found = await stage.until(lambda it: it.in_flight_unknown)
        assert found.ready == 3
        for field in ("spec.source.rabbitmq.management;", "spec.source.rabbitmq.management.prometheusUrl"):
            assert field in found.in_flight_unknown


async def _held_by_a_stranger(stage: Stage) -> None:
    found = await stage.until(lambda it: it.in_flight == 2)
    assert (found.ready, found.in_flight_unknown) == (3, "")


async def _page_is(stage: Stage, page: str) -> bool:
    await stage.read()
    seen = await stage.reader._pages.newest(at_first=0)
    return getattr(seen.listing, "page", None) == page


async def _reason(reader: RabbitmqBacklog) -> str:
    found = (await reader.read(["q"]))["q"]
    assert isinstance(found, Unknown)
    return found.reason


def _disable(broker: Broker, plugin: str) -> None:
    variables = node.environment(broker.home, broker.ports)
    subprocess.run(
        command("rabbitmq-plugins", "disable", plugin),
        env=variables,
        cwd=broker.home,
        check=True,
        capture_output=True,
        timeout=120,
    )
