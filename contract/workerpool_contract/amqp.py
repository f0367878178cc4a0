"""URLs of brokers, put together and taken apart: whatever stands in a password or a vhost, it is encoded. Pure."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

EXAMPLE: Final = "amqp://user:password@host:5672/vhost"
PORT: Final = 5672
TLS_PORT: Final = 5671
DEFAULT_VHOST: Final = "/"
DEFAULT_USER: Final = "guest"
"""Name and password of the user that a new broker has; it is let in from the broker's own machine only."""

_SCHEMES: Final = {"amqp": False, "amqps": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpParts:
    """Where a broker is and who asks, as plain texts. ``port`` None: the usual one. ``vhost``: ``/`` is the usual one.

    ``username`` and ``password`` None: the user of a new broker.
    """

    host: str
    port: int | None = None
    vhost: str = DEFAULT_VHOST
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @property
    def effective_port(self) -> int:
        """The port in force: 5672, or 5671 with TLS, where none is set."""
        return self.port or (TLS_PORT if self.tls else PORT)

    @property
    def authority(self) -> str:
        """``user:password@`` with both encoded."""
        user = DEFAULT_USER if self.username is None else self.username
        password = DEFAULT_USER if self.password is None else self.password
        return f"{quote(user, safe='')}:{quote(password, safe='')}@"

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host

    @property
    def url(self) -> str:
        """The URL of these parts."""
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.authority}{self.bracketed}:{self.effective_port}/{quote(self.vhost, safe='')}"


def amqp_parts(url: str) -> AmqpParts:
    """The parts of ``url``. Raises ValueError, whose words repeat nothing of ``url``: it may be the password itself."""
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError:
        raise ValueError(f"is no URL whose host and port can be read; write {EXAMPLE}") from None
    if found.scheme not in _SCHEMES:
        raise ValueError(f"is no amqp:// or amqps:// URL; write {EXAMPLE}")
    if not host:
        raise ValueError(f"names no host; write {EXAMPLE}")
    path = found.path[1:]
    if "/" in path:
        raise ValueError(f"has more than one / after the host; write a / in the name of a vhost as %2F: {EXAMPLE}")
    return AmqpParts(
        host=host,
        port=port,
        vhost=unquote(path) or DEFAULT_VHOST,
        username=None if found.username is None else unquote(found.username),
        password=None if found.password is None else unquote(found.password),
        tls=_SCHEMES[found.scheme],
    )
