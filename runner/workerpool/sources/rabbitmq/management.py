"""One request at a time to the management API of a broker, for commands; the operator reads it on its own."""

import asyncio
import json
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool_contract.amqp import DEFAULT_USER
from workerpool_contract.rabbitmq import MANAGEMENT_PORT, MANAGEMENT_TLS_PORT

TIMEOUT: Final = 5.0
EXAMPLE: Final = "http://host:15672"
PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Management:
    """Where the API is, and as whom and about which vhost it is asked. ``shown``: without credentials."""

    endpoint: Endpoint
    shown: str
    address: SplitResult = field(repr=False)
    user: str
    password: str = field(repr=False)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON at ``path`` below /api, where ``{}`` stands for the vhost. Raises SourceUnavailable, ConfigError."""
        vhost = quote(self.endpoint.parts.vhost, safe="")
        return await asyncio.to_thread(self._get, path.replace("{}", vhost))

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        secret = b64encode(f"{self.user}:{self.password}".encode()).decode()
        connection = self._connection()
        try:
            connection.request("GET", f"{self.address.path}/api/{path}", headers={"Authorization": f"Basic {secret}"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(f"{self.shown} can't be reached: {str(error) or type(error).__name__}") from None
        finally:
            connection.close()
        try:
            if answer.status == 200:  # noqa: PLR2004 - the one good answer to GET
                return json.loads(text)
        except ValueError:
            raise SourceUnavailable(f"{self.shown} is no management API: its answer is not JSON") from None
        raise SourceUnavailable(f"{self.shown} answers {answer.status} {answer.reason} to {path.partition('?')[0]}")

    def _connection(self) -> HTTPConnection:
        host, port = self.address.hostname or "", self.address.port or PORTS[self.address.scheme]
        if self.address.scheme == "http":
            return HTTPConnection(host, port, timeout=TIMEOUT)
        context = ssl.create_default_context(cafile=self.endpoint.ca_file)
        return HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


def management(endpoint: Endpoint, url: str | None) -> Management:
    """The API at ``url``, else at the usual port of the broker's host, asked as the broker's user unless it names one.

    A broker that is reached by TLS gets no password in clear text, unless ``url`` says http. Raises ConfigError.
    """
    parts = endpoint.parts
    scheme, port = ("https", MANAGEMENT_TLS_PORT) if parts.tls else ("http", MANAGEMENT_PORT)
    try:
        address = urlsplit(url or f"{scheme}://{parts.bracketed}:{port}")
        _ = address.port
    except ValueError:
        raise ConfigError(f"management url: host or port can't be read; use {EXAMPLE}") from None
    if address.scheme not in PORTS or not address.hostname or "@" in address.path:
        raise ConfigError(f"management url: no http:// or https:// URL; use {EXAMPLE}")
    address = address._replace(path=address.path.rstrip("/"))
    shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    if address.username is None:
        user, password = parts.username or DEFAULT_USER, parts.password or DEFAULT_USER
    else:
        user, password = unquote(address.username), unquote(address.password or "")
    return Management(endpoint, shown, address, user, password)
