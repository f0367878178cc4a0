"""Opening and closing one AMQP connection."""

import asyncio
import logging
import re
import ssl
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from aiormq import Connection
from aiormq.abc import AbstractConnection
from aiormq.connection import TransportFactory
from aiormq.exceptions import ConnectionClosed
from yarl import URL

from workerpool.sources.rabbitmq.deliveries import Deliver, DeliveryReader
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import CLOSED_BY_US, cancellable, connecting

HEARTBEAT: Final = 15
"""Seconds. The broker gives a silent peer up after two of them, aiormq after three."""
CONNECT_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 3.0
OLDEST: Final = (3, 10, 0)

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Transport(TransportFactory):
    """The TCP or TLS stream of one connection, kept so that it can be cut when the peer no longer answers."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        """``context``: what TLS trusts, None for plain text."""
        self._context = context
        self._writer: asyncio.StreamWriter | None = None
        self.reader: DeliveryReader | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ANN401 - aiormq's own
        """Connects. Raises OSError."""
        loop = asyncio.get_running_loop()
        self.reader = reader = DeliveryReader(loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, url.host or "", url.port or 0, ssl=self._context)
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, self._writer

    def abort(self) -> None:
        """Drops the stream without a word."""
        if self._writer is not None:
            self._writer.transport.abort()


class Wire:
    """One open AMQP connection."""

    def __init__(self, connection: AbstractConnection, transport: Transport) -> None:
        """Takes both over; ``connect`` makes them."""
        self.connection = connection
        self._transport = transport

    @property
    def is_open(self) -> bool:
        """False once either side ended it."""
        return self.connection.is_opened

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no publishes at the moment, because it is short of memory or disk."""
        # aiormq tells only by a coroutine that waits: one that isn't through at once means blocked.
        waiting = self.connection.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        finally:
            waiting.close()
        return True

    @property
    def consumers(self) -> dict[bytes, Deliver]:
        """The functions that take deliveries straight off the stream, by consumer tag."""
        assert self._transport.reader is not None
        return self._transport.reader.consumers

    @property
    def version_text(self) -> str:
        """The broker's version as it says it ("3.10.8")."""
        return _text(self.connection.server_properties.get("version"))

    async def close(self, why: str = CLOSED_BY_US) -> None:
        """Says goodbye, but not for long; then cuts the stream."""
        try:
            with suppress(TimeoutError, ConnectionError), cancellable():
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    # Without an exception of our own, aiormq would reject calls under way with CancelledError.
                    await self.connection.close(ConnectionClosed(0, why))
        finally:
            self._transport.abort()


async def connect(endpoint: Endpoint, name: str) -> Wire:
    """A connection that shows as ``name`` in the broker's lists. Raises ConfigError, SourceUnavailable."""
    parts = endpoint.parts
    transport = Transport(endpoint.ssl_context())
    scheme = "amqps" if parts.tls else "amqp"
    address = f"{scheme}://{parts.authority}{parts.bracketed}:{parts.effective_port}/"
    connection = Connection(f"{address}?heartbeat={HEARTBEAT}&name={quote(name, safe='')}", transport_factory=transport)
    # Taken from the URL by aiormq, a vhost with %2F in its name would be another one.
    connection.vhost = parts.vhost
    hush()
    with connecting(endpoint):
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.connect()
        except BaseException:
            transport.abort()
            raise
    return Wire(connection, transport)


def version(text: str) -> tuple[int, int, int]:
    """The numbers of a version ("4.1.0-rc.1" is 4, 1, 0); of a text without any, the oldest that is supported."""
    found = _NUMBERS.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else OLDEST


def hush() -> None:
    """Keeps aiormq from logging, with tracebacks, what is reported here anyway; whoever set its level gets it all."""
    logger = logging.getLogger("aiormq")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "unknown")
