"""What a broker lacks and what differs there, like a diff, with what that means and how to cure it. Pure."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from workerpool.sources.rabbitmq.topology import Binding, Exchange, Queue, Thing, found_as
from workerpool_contract.rabbitmq import DEAD_SUFFIX, LANE_EXCHANGE, WAIT_PREFIX, Arguments


class State(StrEnum):
    """How a thing is on the broker; the value is its sign in a plan."""

    SAME = "="
    MISSING = "+"
    DIFFERENT = "~"
    UNSEEN = "?"
    """Whether it is there can't be seen; declaring it does no harm."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument: what the broker has and what is wanted, None for "not set"."""

    argument: str
    has: object
    wanted: object


@dataclass(frozen=True, slots=True)
class Change:
    """One thing, how it is, and in what it differs."""

    thing: Thing
    state: State
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        """The thing by the type that it has, which may not be the wanted one."""
        thing = self.thing
        for it in self.differences:
            thing = found_as(thing, it.argument, it.has)
        return str(thing)


@dataclass(frozen=True, slots=True)
class FoundQueue:
    """A queue as the management API lists it: its ``arguments`` and, in the same spelling, what a ``policy`` adds."""

    arguments: Arguments
    policy: Arguments

    @property
    def effective(self) -> Arguments:
        """What holds: an argument wins over a policy."""
        return {**self.policy, **self.arguments}


@dataclass(frozen=True, slots=True)
class FoundExchange:
    """An exchange as the management API lists it."""

    type: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Listing:
    """What a vhost holds: queues and exchanges by name, bindings as exchange, queue and key."""

    queues: Mapping[str, FoundQueue]
    exchanges: Mapping[str, FoundExchange]
    bindings: frozenset[tuple[str, str, str]]


HARMLESS: Final = re.compile(
    r"^x-(queue-leader-locator|(quorum-)?initial-|max-in-memory-|stream-|queue-mode|workerpool)"
)
"""Arguments that change where a queue is or how fast, never what becomes of a message."""

MEANINGS: Final = {
    "x-queue-type": "only a quorum queue counts deliveries: a job that kills its runner would come again for ever",
    "x-delivery-limit": "a job that kills its runner is given up after another number of deliveries",
    "x-dead-letter-exchange": "what the broker gives up is dropped, or goes elsewhere than to the dead letters",
    "x-dead-letter-routing-key": "what the broker gives up goes elsewhere than to the dead letters",
    "x-dead-letter-strategy": "what the broker gives up can get lost on its way to the dead letters",
    "x-overflow": "where the queue has a maximum length, it drops its oldest jobs instead of refusing new ones",
    "x-max-length": "the queue takes no more than so many jobs",
    "x-max-length-bytes": "the queue takes no more than so many bytes",
    "x-message-ttl": "jobs that wait longer than so many milliseconds are taken out of the queue",
    "x-expires": "the queue is deleted when nobody uses it for so many milliseconds",
    "x-single-active-consumer": "one runner gets all jobs, the others none",
    "x-max-age": "records are kept for another time",
    "alternate-exchange": "what finds no queue there goes elsewhere, or nowhere: jobs that wait for a deleted queue "
    "may hold up those of all others",
    "type": "what is published to it reaches nobody, or too many",
}

SAID_BY: Final = {
    "x-delivery-limit": "x-queue-type",
    "x-dead-letter-routing-key": "x-dead-letter-exchange",
    "x-dead-letter-strategy": "x-dead-letter-exchange",
}
"""Arguments whose meaning adds nothing where another one differs as well."""

RENEW: Final = (
    "delete it with the management API, then at once `workerpool topology apply` for all queues; "
    "what waits stays where it is meanwhile"
)


def compare(things: Sequence[Thing], listing: Listing) -> list[Change]:
    """Each of ``things``, and how it is in ``listing``."""
    return [_compared(thing, listing) for thing in things]


def differences(wanted: Arguments, has: Arguments) -> tuple[Difference, ...]:
    """Where arguments differ, by name; what is set beyond the wanted ones counts unless harmless."""
    names = sorted({*wanted, *(name for name in has if not HARMLESS.match(name))})
    return tuple(
        Difference(name, has.get(name), wanted.get(name)) for name in names if has.get(name) != wanted.get(name)
    )


def meanings(change: Change) -> list[str]:
    """What the differences of a change mean for its jobs, in words."""
    differing = {it.argument for it in change.differences}
    told = (it.argument for it in change.differences if SAID_BY.get(it.argument) not in differing)
    texts = (_meaning(change.thing, argument) for argument in told)
    return list(dict.fromkeys(text for text in texts if text))


def cures(change: Change, vhost: str) -> list[str]:
    """What a person can do about a thing that differs; arguments of what exists can't be changed.

    Commands are in backquotes; of a cure in steps each is a line of its own, in order.
    """
    if change.state is not State.DIFFERENT:
        return []
    if isinstance(change.thing, Exchange) and change.thing.name == LANE_EXCHANGE:
        return [RENEW]
    if not isinstance(change.thing, Queue):
        return ["delete it with the management API when nobody uses it, then `workerpool topology apply`"]
    policy = _policy(change)
    found = []
    if policy:
        name = change.thing.name
        words = ["rabbitmqctl", "set_policy", "-p", vhost, "--apply-to", "queues", f"workerpool {name}"]
        words += [f"^{re.escape(name)}$", json.dumps(policy)]
        found.append(f"at once, by a policy: `{shlex.join(words)}`")
    if len(policy) < len(change.differences):
        found.append(_anew(change, change.thing, vhost))
    return found


def lines(change: Change, vhost: str) -> list[str]:
    """A change as a plan shows it; nothing for what is as it should be."""
    if change.state is State.SAME:
        return []
    shown = [f"{change.state} {change}"]
    for it in change.differences:
        shown += [f"    - {it.argument}: {_value(it.has)}"] if it.has is not None else []
        shown += [f"    + {it.argument}: {_value(it.wanted)}"] if it.wanted is not None else []
    shown += [f"    means: {text}" for text in meanings(change)]
    for text in cures(change, vhost):
        first, *steps = text.splitlines()
        shown += [f"    cure: {first}", *(f"      {step}" for step in steps)]
    return shown


def summary(changes: Sequence[Change]) -> str:
    """How many are in which state, in one line."""
    counts = {state: sum(it.state is state for it in changes) for state in State}
    parts = [
        f"{counts[State.MISSING]} to declare",
        f"{counts[State.DIFFERENT]} different",
        *([f"{counts[State.UNSEEN]} that can't be seen"] if counts[State.UNSEEN] else []),
        f"{counts[State.SAME]} as they should be",
    ]
    return ", ".join(parts)


def _compared(thing: Thing, listing: Listing) -> Change:
    match thing:
        case Exchange(name, kind, arguments):
            has = listing.exchanges.get(name)
            wanted = {"type": kind, **arguments}
            differ = differences(wanted, {"type": has.type, **has.arguments}) if has else ()
            return _change(thing, differ, there=has is not None)
        case Queue(name, arguments):
            found = listing.queues.get(name)
            return _change(thing, differences(arguments, found.effective) if found else (), there=found is not None)
        case Binding(exchange, queue, key):
            return _change(thing, (), there=(exchange, queue, key) in listing.bindings)


def _change(thing: Thing, differ: tuple[Difference, ...], *, there: bool) -> Change:
    if not there:
        return Change(thing, State.MISSING)
    return Change(thing, State.DIFFERENT if differ else State.SAME, differ)


def _meaning(thing: Thing, argument: str) -> str | None:
    if argument == "x-dead-letter-exchange" and isinstance(thing, Queue) and thing.name.startswith(WAIT_PREFIX):
        return "jobs that wait for a deleted queue hold up those of all others"
    return MEANINGS.get(argument)


def _anew(change: Change, queue: Queue, vhost: str) -> str:
    """How a queue comes to other arguments: by its end.

    RabbitMQ refuses to delete a quorum queue on condition that it is empty, so a person has to look before. Its counts
    of quorum queues are up to five seconds old: one zero may be the one from before the last message.
    """
    base = _base(queue)
    delete = shlex.join(["rabbitmqctl", "delete_queue", "-p", vhost, queue.name])
    apply = shlex.join(["workerpool", "topology", "apply", *([base] if base else [])])
    if "stream" in {_has(change, "x-queue-type"), queue.arguments["x-queue-type"]}:
        return (
            "leave it as it is; or, since a stream never runs empty, lose the records that it holds: stop the runners "
            f"and publishers, `{delete}`, then `{apply}`"
        )
    count = shlex.join(["rabbitmqctl", "list_queues", "-p", vhost, "name", "messages"])
    waiting = f", and `{shlex.join(['workerpool', 'jobs', 'list', '--queue', base])}` shows no job" if base else ""
    steps = [
        "stop whatever publishes to it, and let it run empty",
        f"see that it is: `{count}` shows 0 for it twice, ten seconds apart{waiting}",
        f"`{delete}` (it deletes a queue that isn't empty, too)",
        f"`{apply}`, then start the publishers again",
    ]
    return "\n".join(["declare it anew, without losing a message:", *(f"{n}. {it}" for n, it in enumerate(steps, 1))])


def _base(queue: Queue) -> str | None:
    """The queue whose lane this is; None for what isn't a lane."""
    key = queue.arguments.get("x-dead-letter-routing-key")
    return key.removesuffix(DEAD_SUFFIX) if isinstance(key, str) else None


def _has(change: Change, argument: str) -> object:
    return next((it.has for it in change.differences if it.argument == argument), None)


def _policy(change: Change) -> dict[str, Any]:
    """The definition of a policy that sets what an argument doesn't; none for a queue of another type.

    No policy changes the type, and most of the others mean nothing to a classic queue.
    """
    if any(it.argument in {"x-queue-type", "type"} for it in change.differences):
        return {}
    return {
        it.argument.removeprefix("x-"): it.wanted
        for it in change.differences
        if it.has is None and it.wanted is not None
    }


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
