"""A connection that heals: the claim and settle lines of a source."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from workerpool.sources.postgres.connection import Connection, Endpoint, connect, translated
from workerpool_contract.names import NOTIFY_CHANNEL


@dataclass(slots=True)
class Line:
    """One connection, opened anew when it broke. ``notified`` is told the payload of each notification, in its loop."""

    endpoint: Endpoint
    role: str
    flush: bool = True
    notified: Callable[[str], None] | None = None
    connection: Connection | None = None

    async def ready(self) -> Connection:
        """The connection, opened if need be. Raises ConfigError, SourceUnavailable."""
        if self.connection is None or self.connection.is_closed():
            connection = await connect(self.endpoint, role=self.role, flush=self.flush)
            if self.notified is not None and not self.endpoint.pooled:
                async with translated(self.endpoint):
                    await connection.add_listener(NOTIFY_CHANNEL, self._listener)
            self.connection = connection
        return self.connection

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[Connection]:
        """The connection for one exchange; when that fails the connection is not trusted again."""
        connection = await self.ready()
        try:
            async with translated(self.endpoint):
                yield connection
        except BaseException:
            connection.terminate()
            self.connection = None
            raise

    def _listener(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if self.notified is not None:
            self.notified(str(payload))
