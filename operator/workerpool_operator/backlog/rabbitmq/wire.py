"""One AMQP connection of the operator, without robustness of its own: whoever uses it opens the next one."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from aiormq import Connection
from aiormq.abc import AbstractChannel
from aiormq.connection import TransportFactory
from aiormq.exceptions import (
    AMQPChannelError,
    AuthenticationError,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from workerpool_contract.amqp import AmqpParts

HEARTBEAT: Final = 15
"""Seconds."""
CLOSE_TIMEOUT: Final = 3.0
NAME: Final = "workerpool operator"

_FIELD = "spec.source.rabbitmq"
LOGIN: Final = f"the Secret of {_FIELD}.credentialsSecretRef or urlSecretRef"
VHOST: Final = f"{_FIELD}.vhost"
HOST: Final = f"{_FIELD}.host and port"
CLOSED: Final = "closed the connection; its log says why"
_EXPLAINED: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (ProbableAuthenticationError, AuthenticationError),
        f"refused the login; check user and password in {LOGIN}",
    ),
    # The broker closes a connection to a vhost that it will not open; the library keeps its words to itself.
    (
        (InvalidFrameError,),
        f"refused the vhost: it does not exist, or the user may not enter it; correct {VHOST}, or create it",
    ),
    (
        (ssl.SSLCertVerificationError,),
        f"has a certificate that is not trusted here; set {_FIELD}.tls.caSecretRef to its authority",
    ),
    ((ssl.SSLError,), f"can't be spoken to by TLS; check {_FIELD}.tls and the port"),
    ((TimeoutError,), f"took too long to answer; check {HOST}, and the broker's log"),
    ((ConnectionClosed,), CLOSED),
    ((OSError, RuntimeError), f"can't be reached; check {HOST}, and that the broker runs"),
)


class Wire:
    """An open connection."""

    def __init__(self, connection: Connection, transport: "_Transport") -> None:
        """Takes both over; `connect` makes them."""
        self._connection = connection
        self._transport = transport

    @property
    def is_open(self) -> bool:
        """False once either side ended it."""
        return self._connection.is_opened

    def on_end(self, callback: Callable[[], None]) -> None:
        """``callback`` is told in the loop when the connection ends, by whomever."""
        self._connection.closing.add_done_callback(lambda _: callback())

    async def channel(self) -> AbstractChannel:
        """A new channel without confirms. Raises AMQPError, OSError, RuntimeError."""
        return await self._connection.channel(publisher_confirms=False)

    async def close(self) -> None:
        """Says goodbye, but not for long; then cuts the stream."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    # Without an exception of its own the library ends calls under way by a cancellation.
                    await self._connection.close(ConnectionClosed(0, "closed by this side"))
        finally:
            self._transport.abort()


class _Transport(TransportFactory):
    """The stream of one connection, kept so that it can be cut when the peer no longer answers."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ANN401 - the library's own
        """Connects. Raises OSError."""
        reader, self._writer = await asyncio.open_connection(url.host, url.port, ssl=self._context)
        return reader, self._writer

    def abort(self) -> None:
        """Drops the stream without a word."""
        if self._writer is not None:
            self._writer.transport.abort()


async def connect(parts: AmqpParts, authority: str | None) -> Wire:
    """A connection to a broker. ``authority``: PEM text of a private authority. Raises AMQPError, OSError."""
    # What happens is told in readings; the library would write it once more, with tracebacks.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    transport = _Transport(ssl.create_default_context(cadata=authority) if parts.tls else None)
    scheme = "amqps" if parts.tls else "amqp"
    address = f"{scheme}://{parts.authority}{parts.bracketed}:{parts.effective_port}/"
    connection = Connection(f"{address}?heartbeat={HEARTBEAT}&name={quote(NAME)}", transport_factory=transport)
    # Taken from the URL by the library, a vhost with %2F in its name would be another one.
    connection.vhost = parts.vhost
    try:
        await connection.connect()
    except BaseException:
        transport.abort()
        raise
    return Wire(connection, transport)


def reason_of(error: BaseException, origin: str = "") -> str:
    """What went wrong, and the cure, in words that complete "<broker> …"; no credentials.

    ``origin``: who named the broker, empty when that were the fields of a manifest.
    """
    if isinstance(error, AMQPChannelError):
        return f"says: {error}"
    words = next((it for kinds, it in _EXPLAINED if isinstance(error, kinds)), f"failed: {type(error).__name__}")
    if not origin:
        return words
    there = {LOGIN: origin, VHOST: f"the vhost in {origin}", HOST: f"host and port in {origin}"}
    for fields, place in there.items():
        words = words.replace(fields, place)
    return words
