"""Looking at what a vhost holds: by the management API, else by asking for each thing over AMQP."""

from collections.abc import Mapping, Sequence
from typing import Any

from workerpool.sources.rabbitmq.declare import Mismatch, exists, mismatches
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.management import Management
from workerpool.sources.rabbitmq.topology import Binding, Thing
from workerpool.sources.rabbitmq.topologyplan import (
    HARMLESS,
    Change,
    Difference,
    FoundExchange,
    FoundQueue,
    Listing,
    State,
)
from workerpool_contract.rabbitmq import KEY_PREFIX

COLUMNS = "name,type,arguments,effective_policy_definition"


async def listing(api: Management) -> Listing:
    """All of a vhost. Raises SourceUnavailable, ConfigError."""
    queues = await api.get(f"queues/{{}}?columns={COLUMNS}")
    exchanges = await api.get("exchanges/{}?columns=name,type,arguments")
    bindings = await api.get("bindings/{}")
    return Listing(
        {it["name"]: _queue(it) for it in queues if not it["name"].startswith(KEY_PREFIX)},
        {it["name"]: FoundExchange(it["type"], it["arguments"]) for it in exchanges},
        frozenset((it["source"], it["destination"], it["routing_key"]) for it in bindings),
    )


async def probe(link: Link, things: Sequence[Thing]) -> list[Change]:
    """How each of ``things`` is, as far as AMQP tells: nothing of bindings, nor of what policies set.

    Changes nothing. Raises SourceUnavailable, SourceError.
    """
    return [await _probed(link, thing) for thing in things]


async def _probed(link: Link, thing: Thing) -> Change:
    if isinstance(thing, Binding):
        return Change(thing, State.UNSEEN)
    if not await exists(link, thing):
        return Change(thing, State.MISSING)
    # Declared like this it would be made if it vanished just now, which does no harm.
    found = tuple(_difference(it) for it in await mismatches(link, thing) if not HARMLESS.match(it.argument))
    return Change(thing, State.DIFFERENT if found else State.SAME, found)


def _difference(found: Mismatch) -> Difference:
    """With numbers as numbers, as the management API has them."""
    arguments = {} if isinstance(found.thing, Binding) else found.thing.arguments
    return Difference(found.argument, found.value, arguments.get(found.argument, found.wanted))


def _queue(it: Mapping[str, Any]) -> FoundQueue:
    policy = {f"x-{key}": value for key, value in (it.get("effective_policy_definition") or {}).items()}
    return FoundQueue({"x-queue-type": it.get("type", "classic"), **it["arguments"]}, policy)
