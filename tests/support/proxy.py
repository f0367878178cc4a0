"""A network between a runner and the server that a test can make bad: stall it, or lose one answer."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 65_536
LOOK_EVERY = 0.02
"""Seconds between two looks at a connection that is held up."""


@dataclass
class _Loss:
    """The next answer that a connection of this ``role`` gets and that contains ``marker`` is lost."""

    role: bytes
    marker: bytes
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Link:
    """One forwarded connection. ``said``: the first words of the client, which name its role."""

    client: socket.socket
    flowing: threading.Event
    server: socket.socket | None = None
    said: bytearray = field(default_factory=bytearray)


@dataclass
class Proxy:
    """Forwards connections from a port of its own to the server at ``target``."""

    target: tuple[str, int]
    _listener: socket.socket = field(init=False)
    _links: list[_Link] = field(default_factory=list)
    _lets_in: bool = True
    _loss: _Loss | None = None

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self._listener.getsockname()[1])

    def url(self, url: str) -> str:
        """The same database, reached through this proxy."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.port}").geturl()

    def stall(self, *, new_too: bool = True) -> None:
        """From now on nothing arrives on either side; what is sent waits, on new connections only if ``new_too``."""
        self._lets_in = not new_too
        for link in self._links:
            link.flowing.clear()

    def heal(self) -> None:
        """Everything that waits arrives, whether or not its sender still cares."""
        self._lets_in = True
        for link in self._links:
            link.flowing.set()

    def lose_answer(self, role: str, marker: str) -> threading.Event:
        """Loses the next answer to connections of ``workerpool <role>`` that contains ``marker``, and the connection.

        Returns what is set once that happened.
        """
        self._loss = _Loss(f"workerpool {role}".encode(), marker.encode())
        return self._loss.happened

    def close(self) -> None:
        """Closes everything."""
        _shut(self._listener)
        for link in self._links:
            link.flowing.set()
            _shut(link.client)
            if link.server is not None:
                _shut(link.server)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                link = _Link(client, threading.Event())
                self._links.append(link)
                if self._lets_in:
                    link.flowing.set()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: _Link) -> None:
        link.flowing.wait()
        try:
            link.server = server = socket.create_connection(self.target)
        except OSError:
            _shut(link.client)
            return
        threading.Thread(target=self._ask, args=(link, server), daemon=True).start()
        with suppress(OSError):
            while data := server.recv(CHUNK):
                link.flowing.wait()
                if self._is_lost(data, link):
                    break
                link.client.sendall(data)
        _shut(link.client)
        _shut(server)

    def _ask(self, link: _Link, server: socket.socket) -> None:
        with suppress(OSError):
            while data := link.client.recv(CHUNK):
                data += _held_up(link)
                if len(link.said) < CHUNK:
                    link.said += data
                server.sendall(data)
        _shut(link.client)
        _shut(server)

    def _is_lost(self, data: bytes, link: _Link) -> bool:
        loss = self._loss
        if loss is None or loss.role not in link.said or loss.marker not in data:
            return False
        self._loss = None
        loss.happened.set()
        return True


def _held_up(link: _Link) -> bytes:
    """What else the client says while nothing flows: it may be gone by the time this is delivered."""
    more = bytearray()
    while not link.flowing.wait(LOOK_EVERY):
        with suppress(OSError):
            while select.select([link.client], [], [], 0)[0] and (data := link.client.recv(CHUNK)):
                more += data
    return bytes(more)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """A proxy to the server of this URL."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    proxy = Proxy((parts.hostname, parts.port))
    try:
        yield proxy
    finally:
        proxy.close()
