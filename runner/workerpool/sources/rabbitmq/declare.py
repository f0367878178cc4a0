"""Declares what must exist on a broker; what is there with other arguments is used as it is, with a warning."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    AMQPChannelError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from workerpool.errors import ConfigError, SourceError
from workerpool.sources.rabbitmq import topology
from workerpool.sources.rabbitmq.connecting import OLDEST
from workerpool.sources.rabbitmq.faults import reason
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.topology import Binding, Exchange, Queue, Thing
from workerpool_contract.rabbitmq import queue_problem

_INEQUIVALENT: Final = re.compile(r"inequivalent arg '([^']+)' .*?: received (.*) but current is (.*)$", re.DOTALL)
_WHOLE: Final = re.compile(r"^-?[0-9]+$")
_TYPES: Final = ("x-queue-type", "type")
_VALUE: Final = re.compile(r"^(?:the value )?'(.*?)'(?: of type '\w+')?$", re.DOTALL)


class Mismatch(NamedTuple):
    """One argument of what exists that isn't as wanted, as texts; None means not set."""

    thing: Thing
    argument: str
    has: str | None
    wanted: str | None

    def __str__(self) -> str:
        if self.has is None:
            return f"{self.argument} is not set; it should be {self._wanted}"
        return f"{self.argument} is {self.has}; it should be {self._wanted}"

    @property
    def value(self) -> object:
        """What the broker has, as a declaration would name it."""
        if self.has in {"true", "false"}:
            return self.has == "true"
        return int(self.has) if self.has is not None and _WHOLE.match(self.has) else self.has

    @property
    def _wanted(self) -> str:
        if self.wanted == "" and self.argument == "x-dead-letter-exchange":
            return "the default exchange"
        return self.wanted or ("unset" if self.wanted is None else "empty")


async def ensure_shared(link: Link) -> list[str]:
    """Declares what the queues of a vhost share; returns warnings. Raises SourceUnavailable, SourceError, ConfigError.

    Cheap to repeat: call it whenever the link is whole again.
    """
    require_release(link)
    return await declare(link, topology.shared(link.version))


async def ensure_queue(link: Link, queue: str, limit: int) -> list[str]:
    """Declares the lanes and the dead letters of ``queue``; returns warnings. Raises as ``ensure_shared``.

    What the queues of a vhost share must be there.
    """
    require_name(queue)
    return await declare(link, topology.work(queue, limit, link.version))


async def ensure_subscription(link: Link, topic: str, queue: str, limit: int) -> list[str]:
    """As ``ensure_queue``, and gives it a copy of what is sent to ``topic``."""
    require_name(queue)
    return await declare(link, topology.subscription(topic, queue, limit, link.version))


async def declare(link: Link, things: Sequence[Thing]) -> list[str]:
    """Declares ``things`` in order; returns warnings about what is there with other arguments, or can't be checked.

    Raises SourceUnavailable, and SourceError for what is missing and can't be made.
    """
    warnings: list[str] = []
    left = list(things)
    while left:
        try:
            # A refusal closes the channel; the next thing gets a new one.
            async with link.scratch() as channel:
                while left:
                    await _declare(channel, left[0])
                    left.pop(0)
        except AMQPChannelError as error:
            warnings += await _judge(link, left.pop(0), error)
    return warnings


def require_release(link: Link) -> None:
    """Raises ConfigError for a broker that is too old."""
    if link.version < OLDEST:
        raise ConfigError(
            f"url: {link.endpoint.shown} is RabbitMQ {link.version_text}; 3.10 or newer is needed, for dead letters "
            "and time limits of quorum queues: upgrade the broker"
        )


def require_name(queue: str) -> None:
    """Raises ConfigError for a name that no queue of jobs can have."""
    problem = queue_problem(queue)
    if problem:
        raise ConfigError(f"queue: {queue[:80]!r} {problem}")


async def exists(link: Link, thing: Exchange | Queue) -> bool:
    """Whether ``thing`` is there, whatever its arguments. Raises SourceUnavailable, SourceError."""
    try:
        async with link.scratch() as channel:
            if isinstance(thing, Queue):
                await channel.queue_declare(thing.name, passive=True)
            else:
                await channel.exchange_declare(thing.name, passive=True)
    except ChannelNotFoundEntity:
        return False
    except AMQPChannelError as error:
        raise SourceError(f"{link.endpoint.shown}: {thing} can't be looked at: {reason(error)}") from None
    return True


async def mismatches(link: Link, thing: Thing) -> list[Mismatch]:
    """What differs in ``thing``, which must exist; empty when it is as it should be, or may not be compared.

    A broker names one difference at a time, so it is asked again with what it has. Raises SourceUnavailable,
    SourceError.
    """
    found: dict[str, Mismatch] = {}
    asked = thing
    while True:
        try:
            async with link.scratch() as channel:
                await _declare(channel, asked)
        except ChannelPreconditionFailed as error:
            it = parse(thing, reason(error))
            if it is None or it.argument in found:
                break
            found[it.argument] = it._replace(has="classic") if it[1:3] == ("x-queue-type", None) else it
            asked = _with(asked, it)
        except AMQPChannelError:
            break
        else:
            break
    return [found[argument] for argument in sorted(found)]


def parse(thing: Thing, text: str) -> Mismatch | None:
    """The difference that the text of a 406 names; None when it names none."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return None
    argument, wanted, has = found.groups()
    return Mismatch(thing, argument, _plain(has), _plain(wanted))


async def _declare(channel: AbstractChannel, thing: Thing) -> None:
    match thing:
        case Exchange(name, kind, arguments):
            await channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=arguments)
        case Queue(name, arguments):
            await channel.queue_declare(name, durable=True, arguments=arguments)
        case Binding(exchange, queue, key):
            await channel.queue_bind(queue, exchange, key)


async def _judge(link: Link, thing: Thing, error: AMQPChannelError) -> list[str]:
    text = reason(error)
    if isinstance(error, ChannelPreconditionFailed) and (difference := parse(thing, text)):
        return [_warning(thing, await mismatches(link, thing) or [difference])]
    if isinstance(error, ChannelAccessRefused):
        if isinstance(thing, Binding):
            return [f"{thing} can't be made sure of ({text}); let `workerpool topology apply` do it as another user"]
        if await exists(link, thing):
            return []
        raise SourceError(
            f"{link.endpoint.shown}: {thing} is missing and this user may not declare it ({text}); give the user the "
            "right to configure it, or run `workerpool topology apply` as one who may"
        )
    raise SourceError(f"{link.endpoint.shown}: {thing} can't be declared: {text}")


def _with(asked: Thing, found: Mismatch) -> Thing:
    """``asked`` with what the broker has in place of what was wanted."""
    match asked, found.argument:
        case Exchange(name, _, arguments), "type":
            return Exchange(name, str(found.has), arguments)
        case ((Exchange() | Queue()), argument):
            others = {key: value for key, value in asked.arguments.items() if key != argument}
            return replace(asked, arguments=others if found.has is None else others | {argument: found.value})
        case _:
            return asked


def _warning(thing: Thing, found: Sequence[Mismatch]) -> str:
    """The first of the differences in words, the type before all others."""
    first, *others = sorted(found, key=lambda it: it.argument not in _TYPES)
    more = f", and {len(others)} more" if others else ""
    hint = "" if first.has is not None else "unless a policy sets it, "
    return (
        f"{topology.found_as(thing, first.argument, first.has)} exists with other arguments and is used as it is: "
        f"{first}{more}; {hint}`workerpool topology plan` shows what that means and the cure"
    )


def _plain(value: str) -> str | None:
    found = _VALUE.match(value.strip())
    return found[1] if found else (None if value == "none" else value)
