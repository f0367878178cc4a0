"""What goes wrong between aiormq and a broker, turned into our errors, without secrets."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
from workerpool.sources.rabbitmq.endpoint import Endpoint

CLOSED_BY_US: Final = "closed by this side"

UNAVAILABLE: Final = (AMQPConnectionError, ChannelInvalidStateError, OSError, TimeoutError)
"""Failures that another try may cure."""


@contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """Raises what aiormq raises as SourceUnavailable or SourceError (what the broker refused, in its own words).

    A connection that ends rejects the calls under way with CancelledError, even in a task that nobody cancelled:
    that becomes SourceUnavailable, while the cancellation of the task itself passes through.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise SourceUnavailable(f"{endpoint.shown}: the connection ended") from None
    except UNAVAILABLE as error:
        raise SourceUnavailable(f"{endpoint.shown} can't be reached: {reason(error)}") from None
    except AMQPChannelError as error:
        if isinstance(error, ChannelClosed) and error.args[:1] == (None,):
            raise SourceUnavailable(f"{endpoint.shown}: the channel was closed") from None
        raise SourceError(f"{endpoint.shown}: {reason(error)}") from None
    except AMQPError as error:
        raise SourceUnavailable(f"{endpoint.shown}: {reason(error)}") from None


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
                    "WORKERPOOL_URL, WORKERPOOL_RABBITMQ_USERNAME and _PASSWORD or in the Secret"
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
    except SourceError as error:
        # Whatever a broker says before there is a channel, another try may find it in a better mood.
        raise SourceUnavailable(str(error)) from None


def reason(error: BaseException | None) -> str:
    """What happened, in the words of the broker where it said some."""
    if isinstance(error, ConnectionClosed) and len(error.args) > 1:
        text = str(error.args[1])
    elif isinstance(error, TimeoutError):
        text = str(error) or "no answer in time"
    elif isinstance(error, asyncio.CancelledError) or error is None:
        text = "the connection ended"
    else:
        text = str(error) or type(error).__name__
    return redact(text)
