"""Where a broker is and how it may be entered: URL, private authority, crash budget of its queues."""

import ssl
from dataclasses import dataclass, field

from workerpool.errors import ConfigError
from workerpool_contract.amqp import AmqpParts, amqp_parts
from workerpool_contract.rabbitmq import DELIVERY_LIMIT
from workerpool_contract.urls import describe


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A virtual host of a broker.

    ``url``: amqp:// or amqps://, percent-encoded. ``ca_file``: PEM file of the authority that signed the broker's
    certificate, None for those that the system trusts. ``delivery_limit``: deliveries of one message that may end in
    a crash before the broker makes it a dead letter; given to queues that this project declares. ``job_timeout``:
    seconds that the jobs of a runner take at most, None: unknown; only for words about the broker's patience.
    """

    url: str = field(repr=False)
    ca_file: str | None = None
    delivery_limit: int = DELIVERY_LIMIT
    job_timeout: float | None = None

    @property
    def shown(self) -> str:
        """Host, port and vhost in words, without credentials."""
        return describe(self.url)

    @property
    def parts(self) -> AmqpParts:
        """The URL taken apart and decoded. Raises ConfigError, which shows nothing of the URL."""
        try:
            return amqp_parts(self.url)
        except ValueError as error:
            raise ConfigError(f"url: {error}") from None

    def ssl_context(self) -> ssl.SSLContext | None:
        """What TLS trusts; None for amqp://. Reads files. Raises ConfigError."""
        if not self.parts.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"ca file: {self.ca_file!r} can't be used ({error}); "
                "name a readable PEM file with the authority's certificate, or unset it to trust the system's"
            ) from None
