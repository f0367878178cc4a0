"""The doctor: measures what makes a broker unusable, slow or deaf. `admin_checks` judges the measurements."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from time import monotonic

from workerpool.errors import ConfigError, SourceError, SourceUnavailable
from workerpool.sources import checks
from workerpool.sources.checks import Check, Level
from workerpool.sources.rabbitmq import admin_checks as judge
from workerpool.sources.rabbitmq import topology
from workerpool.sources.rabbitmq.admin_others import others
from workerpool.sources.rabbitmq.admin_subscriptions import standing
from workerpool.sources.rabbitmq.browsing import depth
from workerpool.sources.rabbitmq.declare import exists
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.inspection import probe
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.management import management
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.rounds import holds, looking
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import STREAMS, SUBSCRIPTIONS, UNROUTED, UNROUTED_AGAIN, dead, queue_of_lane

Known = dict[str, frozenset[str]]
"""Queues and the topics that they get copies of."""


async def examine(endpoint: Endpoint, management_url: str | None) -> AsyncIterator[Check]:
    """The checks one after the other, as they are done. Never raises for what it examines: that is a failed check."""
    link = Link(endpoint, name="workerpool doctor")
    sent = monotonic()
    try:
        await link.open()
    except (SourceError, ConfigError) as error:
        # What a broker that answers refuses is told with its own cure.
        cure = "" if isinstance(error, ConfigError) else "start the broker, or correct host and port of the URL"
        yield Check("connection", Level.FAIL, str(error), cure)
        return
    try:
        yield Check("connection", Level.OK, f"{endpoint.shown} in {(monotonic() - sent) * 1000:.0f} ms")
        yield judge.version(link.version_text, link.version)
        yield await _attempt("messages", link, _messages)
        known: Known = {}
        try:
            with translated(endpoint):
                known = await _known(link)
        except (SourceError, ConfigError) as error:
            yield Check("queues", Level.FAIL, str(error), "see the message; the user may lack a permission")
        yield await _attempt("topology", link, lambda it: _topology(it, known))
        yield await _attempt("unrouted", link, lambda it: _unrouted(it, known))
        answer, foreign = await _management(endpoint, management_url, known)
        yield answer
        yield await _attempt("queues", link, lambda it: _queues(it, known, foreign))
    finally:
        await link.close()


async def _attempt(name: str, link: Link, measure: Callable[[Link], Awaitable[Check]]) -> Check:
    try:
        with translated(link.endpoint):
            return await measure(link)
    except SourceUnavailable as error:
        return Check(name, Level.FAIL, str(error), "see the message and the broker's log")
    except (SourceError, ConfigError) as error:
        return Check(name, Level.FAIL, str(error), "see the message; the user may lack a permission")


async def _messages(link: Link) -> Check:
    """A message to a queue of our own, which is gone afterwards."""
    async with link.scratch() as channel:
        declared = await channel.queue_declare("", exclusive=True, auto_delete=True)
        name = declared.queue or ""
        sent = monotonic()
        await Sender(link).send([Outgoing("", name, b"{}", {})])
        seconds = monotonic() - sent
        await channel.queue_delete(name)
    return judge.round_trip(seconds)


async def _known(link: Link) -> Known:
    if not await exists(link, topology.Queue(SUBSCRIPTIONS, STREAMS[SUBSCRIPTIONS])):
        return {}
    registry = Registry(link, Sender(link))
    await registry.open()
    await registry.close()
    return registry.known()


async def _topology(link: Link, known: Known) -> Check:
    limit, version = link.endpoint.delivery_limit, link.version
    things = [*topology.shared(version), *(it for queue in known for it in topology.work(queue, limit, version))]
    return judge.topology(await probe(link, things))


async def _unrouted(link: Link, known: Known) -> Check:
    """Names queues by the first jobs only: there may be many, and each is taken and given back."""
    count = await holds(link)
    names: set[str] = set()
    for name in (UNROUTED, UNROUTED_AGAIN):
        async with looking(link, name) as browser:
            names |= {queue_of_lane(it.routing_key, known) for it in await browser.take()}
    return judge.unrouted(count, names)


async def _management(endpoint: Endpoint, url: str | None, known: Known) -> tuple[Check, str | None]:
    """The check, and in words which queues nobody looks at."""
    try:
        api = management(endpoint, url)
        foreign = await others(api, known)
    except (SourceUnavailable, ConfigError) as error:
        return judge.management("", str(error)), None
    return judge.management(api.shown, None), foreign


async def _queues(link: Link, known: Known, foreign: str | None) -> Check:
    found = []
    for queue, topics in known.items():
        ready, served = await standing(link, queue)
        letters = await depth(link, dead(queue))
        found.append(
            checks.Queue(queue, ready, letters.messages if letters else 0, None, served, tuple(sorted(topics)))
        )
    check = checks.queues(found)
    return check if foreign is None else replace(check, detail=f"{check.detail}; not looked at: {foreign}")
