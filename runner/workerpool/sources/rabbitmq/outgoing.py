"""A message on its way to the broker, as bytes of the protocol, and what became of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import error as StructError  # noqa: N812 - the exception that struct calls so
from typing import Any, Final, NamedTuple

from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from workerpool.errors import PayloadError, SourceError, SourceUnavailable

MOST_MESSAGES: Final = 250
MOST_BYTES: Final = 1_048_576
"""What goes to the socket at once; a single message may be larger."""

FRAME_ENDS: Final = 8
"""Bytes of a frame around what it holds."""
REFUSED_SIZE: Final = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")
"""What a broker closes the channel with when a message is too large for it, and the only time it says its limit."""

PERSISTENT: Final = 2
TRANSIENT: Final = 1


class Fate(Enum):
    """What the broker did with a message."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"
    """No queue is bound to where it was sent."""
    REFUSED = "refused"
    """A queue is full, or can't take it at the moment."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    ``priority``: 0-255. ``expiration``: milliseconds. ``mandatory``: a message for which there is no queue comes back
    instead of being dropped. ``persistent``: survives a restart of the broker (in a durable queue).
    """

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any]
    priority: int | None = None
    expiration: int | None = None
    content_type: str = "application/json"
    mandatory: bool = True
    persistent: bool = True


class Unroutable(SourceError):
    """The broker has no queue for ``messages``; all others of the same call were confirmed."""

    def __init__(self, shown: str, messages: Sequence[Outgoing]) -> None:
        """``shown``: the broker in words."""
        self.messages = tuple(messages)
        first = messages[0]
        super().__init__(
            f"{shown}: no queue takes {len(messages)} message(s) to {first.routing_key!r} "
            f"(exchange {first.exchange or 'default'!r}); declare it with `workerpool topology apply`"
        )


class Refused(SourceUnavailable):
    """The broker refused ``messages``; each other of the same call was confirmed or has no queue."""

    def __init__(self, shown: str, messages: Sequence[Outgoing]) -> None:
        """``shown``: the broker in words."""
        self.messages = tuple(messages)
        super().__init__(
            f"{shown} refused {len(messages)} message(s) to {messages[0].routing_key!r}: "
            "the queue is full or can't take messages at the moment"
        )


class Encoded(NamedTuple):
    """One message as frames, and the id under which the broker would return it."""

    message_id: str
    frames: bytes


def encode(message: Outgoing, message_id: str, channel: int, room: int, most: int | None = None) -> Encoded:
    """``message`` for a ``channel`` whose frames hold ``room`` bytes. Raises PayloadError.

    ``most``: bytes that the broker takes in one message, None when that isn't known.
    """
    if most is not None and len(message.body) > most:
        raise PayloadError(
            f"message to {message.routing_key!r}: {len(message.body)} bytes, and this broker takes at most {most}; "
            "raise max_message_size in its rabbitmq.conf, or send a reference to where the data lies"
        )
    properties = Basic.Properties(
        content_type=message.content_type,
        headers=message.headers,
        delivery_mode=PERSISTENT if message.persistent else TRANSIENT,
        priority=message.priority,
        expiration=None if message.expiration is None else str(message.expiration),
        message_id=message_id,
    )
    publish = Basic.Publish(exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory)
    try:
        frames = [marshal(publish, channel), marshal(ContentHeader(0, len(message.body), properties), channel)]
    except (TypeError, ValueError, OverflowError, StructError) as error:
        raise PayloadError(
            f"message to {message.routing_key!r}: can't be said in AMQP ({error}); "
            "names take at most 255 bytes, headers texts, numbers, lists and dicts"
        ) from None
    if len(frames[1]) > room + FRAME_ENDS:
        # The broker would end the connection, and everything on its way with it.
        raise PayloadError(
            f"message to {message.routing_key!r}: headers of {len(frames[1])} bytes, and this broker takes at most "
            f"{room + FRAME_ENDS}; raise frame_max in its rabbitmq.conf, or put the data into the payload"
        )
    frames.extend(marshal(ContentBody(part), channel) for part in _parts(message.body, room))
    return Encoded(message_id, b"".join(frames))


def portions(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """``messages`` in order, in pieces that may go to the socket at once."""
    start = size = 0
    for index, message in enumerate(messages):
        full = index - start >= MOST_MESSAGES or size + len(message.body) > MOST_BYTES
        if full and index > start:
            yield messages[start:index]
            start, size = index, 0
        size += len(message.body)
    if start < len(messages):
        yield messages[start:]


def refused_size(text: str) -> int | None:
    """The most bytes of a message that the broker takes, when ``text`` is its answer to a larger one."""
    found = REFUSED_SIZE.search(text)
    return None if found is None else int(found[1])


def _parts(body: bytes, room: int) -> Iterator[bytes]:
    return (body[start : start + room] for start in range(0, len(body), room))
