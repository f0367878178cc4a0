"""Serves probes over HTTP from threads of its own, so that they answer while the event loop is busy or stuck.

GET and HEAD on /live, /ready, /health and /metrics; 200 or 503 with a JSON body. /metrics is Prometheus text unless the
request prefers ``application/json``. One request per connection: a probe has no use for keep-alive, and a client that
keeps its connection open must not keep a thread.
"""

import errno
import json
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Final

from workerpool.errors import ConfigError
from workerpool.exposition import CONTENT_TYPE
from workerpool.probes import Answer, Probes
from workerpool.redaction import redact
from workerpool_contract.names import ENV_PROBE_HOST, ENV_PROBE_PORT, PATH_HEALTH, PATH_LIVE, PATH_METRICS, PATH_READY

JSON_TYPE: Final = "application/json; charset=utf-8"
_PATHS: Final = (PATH_LIVE, PATH_READY, PATH_HEALTH, PATH_METRICS)


class ProbeServer:
    """An HTTP server around ``probes``. Port 0 takes any free port; `port` tells which one it became.

    An empty ``host`` is every address of the machine, IPv4 and IPv6.
    """

    def __init__(self, probes: Probes, host: str, port: int) -> None:
        self._probes = probes
        self._host = host
        self._wanted = port
        self._server: ThreadingHTTPServer | None = None
        self._thread: Thread | None = None

    def start(self) -> int:
        """Listens and returns the port. Raises ConfigError when host and port can't be had."""
        host = self._host or ("::" if socket.has_dualstack_ipv6() else "")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = type("_Server", (_Server,), {"address_family": family})
        try:
            self._server = server((host, self._wanted), _handler(self._probes))
        except OSError as error:
            raise _cannot_listen(self._host or "every address", self._wanted, error) from error
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="workerpool-probes", daemon=True)
        self._thread.start()
        return self.port

    @property
    def port(self) -> int:
        """The port that is listened on, or the wanted one before `start`."""
        return self._wanted if self._server is None else int(self._server.server_address[1])

    def close(self) -> None:
        """Stops listening; harmless when called twice or before `start`."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if self._thread is not None:
            self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:  # whatever the machine's default: "::" is IPv4 too
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # The base class asks the DNS for the host's full name here, which takes seconds where there is none.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up early is nobody's concern."""


def wants_json(accept: str) -> bool:
    """Whether an Accept header prefers JSON to text; at equal weight the one named first, without a preference text."""
    json_weight = text_weight = 0.0
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        if kind == "application/json":
            json_weight = weight
        elif kind in ("text/plain", "text/*", "*/*"):
            text_weight = max(text_weight, weight)
    return json_weight > text_weight or (json_weight > 0 and accept.lower().startswith("application/json"))


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _reply(probes: Probes, path: str, accept: str) -> tuple[int, str, str]:
    """Status, content type and body for a GET."""
    if path == PATH_METRICS:
        if wants_json(accept):
            return 200, JSON_TYPE, json.dumps(probes.metrics_json())
        return 200, CONTENT_TYPE, probes.metrics_text()
    answers: dict[str, Callable[[], Answer]] = {
        PATH_LIVE: probes.live,
        PATH_READY: probes.ready,
        PATH_HEALTH: probes.health,
    }
    if path not in answers:
        return 404, JSON_TYPE, json.dumps({"error": f"no such path; try {', '.join(_PATHS)}"})
    answer = answers[path]()
    return 200 if answer.ok else 503, JSON_TYPE, json.dumps(answer.body)


def _handler(probes: Probes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "workerpool"
        sys_version = ""
        timeout = 5

        def do_GET(self) -> None:
            self._send(with_body=True)

        def do_HEAD(self) -> None:
            self._send(with_body=False)

        def _send(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0].rstrip("/")
            try:
                status, content_type, text = _reply(probes, path, self.headers.get("Accept", "*/*"))
            except Exception as error:  # noqa: BLE001 - a probe that breaks must say so instead of hanging up
                status, content_type = 500, JSON_TYPE
                text = json.dumps({"error": redact(f"{type(error).__name__}: {error}")})
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """A probe every few seconds is not worth a line."""

    return Handler


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        cure = f"is in use by another process; set {ENV_PROBE_PORT} to a free port, or to 0 for any"
    elif error.errno == errno.EACCES:
        cure = f"needs privileges that this user lacks; set {ENV_PROBE_PORT} to a port above 1023"
    else:
        reason = error.strerror or str(error)
        return ConfigError(f"{ENV_PROBE_HOST}: cannot listen on {host!r}: {reason}; use 127.0.0.1, 0.0.0.0 or ::")
    return ConfigError(f"{ENV_PROBE_PORT}: port {port} on {host} {cure}")
