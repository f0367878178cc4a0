"""A link to a broker for tests: opened, closed, and its changes counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.waiting import eventually
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.link import Link

RETURN = 120.0
"""Seconds that a link may take to come back: it tries again after up to 30 seconds, and more than once if need be."""


@dataclass
class Linked:
    """A link, the reasons of its losses and how often it was whole again."""

    link: Link
    losses: list[str] = field(default_factory=list)
    returns: int = 0

    def __post_init__(self) -> None:
        self.link.on_lost(self.losses.append)
        self.link.on_ready(self._returned)

    async def cut(self) -> None:
        """Ends both connections from this side, as a network would; the link doesn't know why."""
        for channel in (self.link.consume_channel(), self.link.publish_channel()):
            await channel.connection.close(ConnectionResetError("cut by a test"))

    def _returned(self) -> None:
        self.returns += 1

    async def whole_again(self, times: int = 1) -> None:
        """Until the link came back for the ``times``-th time."""

        async def back() -> bool:
            return self.returns >= times and self.link.connected

        await eventually(back, f"return {times} of the link ({self.link.last_error})", within=RETURN)


@asynccontextmanager
async def linked(url: str, *, ca_file: str | None = None, name: str = "test") -> AsyncIterator[Linked]:
    """An open link, closed at the end."""
    watched = Linked(Link(Endpoint(url, ca_file), name=name))
    await watched.link.open()
    try:
        yield watched
    finally:
        await watched.link.close()
