"""A network between a runner and the server that a test can make bad: stall it, or lose one answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 65_536


@dataclass
class _Loss:
    """The next answer that a connection of this ``role`` gets and that contains ``marker`` is lost."""

    role: bytes
    marker: bytes
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass
class Proxy:
    """Forwards connections from a port of its own to the server at ``target``."""

    target: tuple[str, int]
    _listener: socket.socket = field(init=False)
    _flowing: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _loss: _Loss | None = None

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """The same database, reached through this proxy."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()

    def stall(self) -> None:
        """From now on nothing arrives on either side; what is sent waits, new connections too."""
        self._flowing.clear()

    def heal(self) -> None:
        """Everything that waits arrives, whether or not its sender still cares."""
        self._flowing.set()

    def lose_answer(self, role: str, marker: str) -> threading.Event:
        """Loses the next answer to connections of ``workerpool <role>`` that contains ``marker``, and the connection.

        Returns what is set once that happened.
        """
        self._loss = _Loss(f"workerpool {role}".encode(), marker.encode())
        return self._loss.happened

    def close(self) -> None:
        """Closes everything."""
        self._flowing.set()
        for one in [self._listener, *self._open]:
            _shut(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self.target)
        except OSError:
            _shut(client)
            return
        self._open.append(server)
        said = bytearray()
        threading.Thread(target=self._pump, args=(client, server, said, False), daemon=True).start()
        self._pump(server, client, said, True)

    def _pump(self, source: socket.socket, sink: socket.socket, said: bytearray, is_answer: bool) -> None:
        """``said``: the first words of the client, which name its role."""
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._flowing.wait()
                if not is_answer and len(said) < CHUNK:
                    said += data
                elif is_answer and self._is_lost(data, said):
                    break
                sink.sendall(data)
        _shut(source)
        _shut(sink)

    def _is_lost(self, data: bytes, said: bytearray) -> bool:
        loss = self._loss
        if loss is None or loss.role not in said or loss.marker not in data:
            return False
        self._loss = None
        loss.happened.set()
        return True


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
