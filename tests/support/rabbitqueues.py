"""A look at the queues of a broker for tests: how much is in them, and the messages themselves."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from tests.support.waiting import eventually


@dataclass(frozen=True)
class Taken:
    """A message that was in a queue."""

    body: bytes
    headers: dict[str, Any]
    exchange: str
    routing_key: str
    content_type: str | None
    delivery_mode: int | None
    message_id: str | None


async def depths(url: str, *names: str) -> dict[str, int | None]:
    """Messages that nobody holds in each queue, None for a queue that doesn't exist."""
    found: dict[str, int | None] = {}
    connection = await aiormq.connect(url)
    try:
        for name in names:
            channel = await connection.channel()
            try:
                found[name] = (await channel.queue_declare(name, passive=True)).message_count
            except ChannelNotFoundEntity:
                found[name] = None
    finally:
        await connection.close()
    return found


async def taken(url: str, name: str, count: int | None = None, *, acknowledge: bool = False) -> list[Taken]:
    """The messages of a queue, in order; they go back unless acknowledged. Waits until there are ``count`` of them."""
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        if count is None:
            count = (await channel.queue_declare(name, passive=True)).message_count or 0
        messages: list[DeliveredMessage] = []

        async def deliver(message: DeliveredMessage) -> None:
            messages.append(message)

        async def complete() -> bool:
            return len(messages) >= (count or 0)

        await channel.basic_consume(name, deliver)
        await eventually(complete, f"{count} messages from {name}")
        if acknowledge and messages:
            await channel.basic_ack(messages[-1].delivery_tag or 0, multiple=True)
            await channel.queue_declare(name, passive=True)
        return [_taken(it) for it in messages]
    finally:
        await asyncio.shield(connection.close())


def _taken(message: DeliveredMessage) -> Taken:
    given, frame = message.header.properties, message.delivery
    return Taken(
        body=message.body,
        headers=dict(given.headers or {}),
        exchange=str(getattr(frame, "exchange", "")),
        routing_key=str(getattr(frame, "routing_key", "")),
        content_type=given.content_type,
        delivery_mode=given.delivery_mode,
        message_id=given.message_id,
    )
