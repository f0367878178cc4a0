"""What goes wrong between aiormq and a broker, turned into our errors, without secrets."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiormq.exceptions import (
    AMQPChannelError,
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelClosed,
    ChannelInvalidStateError,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from workerpool.errors import ConfigError, SourceError, SourceUnavailable
from workerpool.redaction import redact
from workerpool.sources.rabbitmq.deliveries import NotAmqp
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool_contract.amqp import PORT, TLS_PORT

CLOSED_BY_US: Final = "closed by this side"
ENDED: Final = "the connection ended"

WRONG_VERSION: Final = "WRONG_VERSION_NUMBER"
"""OpenSSL's word for an answer that is no TLS."""
TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")
"""How an alert and a greeting begin."""
PORTS: Final = f"the port where the broker speaks AMQP (usually {PORT}, {TLS_PORT} with amqps://)"

UNAVAILABLE: Final = (AMQPConnectionError, ChannelInvalidStateError, OSError, TimeoutError)
"""Failures that another try may cure."""


@contextmanager
def cancellable() -> Iterator[None]:
    """Keeps the cancellation of this task, and tells it from aiormq's own.

    A connection or channel that ends rejects the calls under way with CancelledError, also in a task that nobody
    cancelled: that becomes ConnectionError. And a task that is cancelled at that moment gets another error, or none:
    that becomes CancelledError.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError:
        if _cancelled(task, before):
            raise
        raise ConnectionError(ENDED) from None
    except Exception:
        if _cancelled(task, before):
            raise asyncio.CancelledError from None
        raise
    if _cancelled(task, before):
        raise asyncio.CancelledError


def _cancelled(task: "asyncio.Task[Any] | None", before: int) -> bool:
    return task is not None and task.cancelling() > before


@contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """Raises what aiormq raises as SourceUnavailable or SourceError (what the broker refused, in its own words).

    Cancellations are kept as by ``cancellable``.
    """
    try:
        with cancellable():
            yield
    except UNAVAILABLE as error:
        raise SourceUnavailable(f"{endpoint.shown} can't be reached: {reason(error)}") from None
    except AMQPChannelError as error:
        if isinstance(error, ChannelClosed) and error.args[:1] == (None,):
            raise SourceUnavailable(f"{endpoint.shown}: the channel was closed") from None
        raise SourceError(f"{endpoint.shown}: {reason(error)}") from None
    except AMQPError as error:
        raise SourceUnavailable(f"{endpoint.shown}: {reason(error)}") from None
    except Exception as error:
        # A bare one is what aiormq rejects calls with when it knows no reason.
        if type(error) is not Exception:
            raise
        raise SourceUnavailable(f"{endpoint.shown} can't be reached: {ENDED}") from None


@contextmanager
def connecting(endpoint: Endpoint) -> Iterator[None]:
    """As ``translated``, for the first words with a broker: login, vhost and certificate are the user's to correct."""
    try:
        with translated(endpoint):
            try:
                yield
            except (ProbableAuthenticationError, AuthenticationError) as error:
                raise ConfigError(
                    f"url: {endpoint.shown} refused the login ({reason(error)}); check user and password in "
                    "WORKERPOOL_URL, WORKERPOOL_RABBITMQ_USERNAME and _PASSWORD or in the Secret; in a URL, an @ in "
                    "them is %40"
                ) from None
            except InvalidFrameError:
                # The broker closed the connection in answer to the vhost; aiormq keeps its words to itself.
                raise ConfigError(
                    f"url: {endpoint.shown} refused the virtual host {endpoint.parts.vhost!r}: it doesn't exist, the "
                    "user may not enter it, or it takes no more connections; correct the last part of the URL, or "
                    "`rabbitmqctl add_vhost` and `set_permissions`"
                ) from None
            except ssl.SSLCertVerificationError as error:
                raise ConfigError(
                    f"ca file: the certificate of {endpoint.shown} can't be trusted ({error.verify_message}); name the "
                    "authority's PEM file in WORKERPOOL_RABBITMQ_CA_FILE or tls.caSecretRef"
                ) from None
            except ssl.SSLError as error:
                if error.reason != WRONG_VERSION:
                    raise
                raise ConfigError(f"url: {endpoint.shown} speaks no TLS; write amqp://, or {PORTS}") from None
            except NotAmqp as error:
                raise _other_protocol(endpoint, error.said) from None
    except SourceError as error:
        # Whatever a broker says before there is a channel, another try may find it in a better mood.
        raise SourceUnavailable(str(error)) from None


def _other_protocol(endpoint: Endpoint, said: bytes) -> SourceUnavailable | ConfigError:
    if said.startswith(TLS_RECORDS):
        return ConfigError(f"url: {endpoint.shown} speaks TLS; write amqps://, or {PORTS}")
    port = endpoint.parts.effective_port
    cure = f"if {port} is the port of the management API (usually 15672), write {PORTS}"
    if said:
        return ConfigError(f"url: {endpoint.shown} doesn't speak AMQP; {cure}")
    # A proxy whose broker is away hangs up like this too.
    return SourceUnavailable(f"{endpoint.shown} can't be reached: it hung up without a word of AMQP; {cure}")


def reason(error: BaseException | None) -> str:
    """What happened, in the words of the broker where it said some."""
    if isinstance(error, ConnectionClosed) and len(error.args) > 1:
        text = str(error.args[1])
    elif isinstance(error, TimeoutError):
        text = str(error) or "no answer in time"
    elif isinstance(error, asyncio.CancelledError) or error is None:
        text = ENDED
    else:
        text = str(error) or type(error).__name__
    return redact(text)
