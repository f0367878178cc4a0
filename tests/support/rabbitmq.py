"""Throw-away RabbitMQ servers for tests: a folder and ports of their own.

One server per test process (fixture ``rabbitmq_broker``), one virtual host per test (fixture ``vhost``); a test that
stops, kills or restarts a server starts its own with ``throw_away_broker``.
"""

import http.client
import json
import shutil
import signal
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tests.support import broker_node as node
from tests.support.authority import Authority, make_authority
from tests.support.broker_programs import command
from tests.support.patience import until

USER = "tests"
PASSWORD = "p@ss/word"
"""With characters that a URL has to encode: whoever forgets that fails in every test."""
FAST = "[{ra, [{wal_sync_method, none}]}]."
"""What a test that doesn't crash the machine can do without: waiting for the disk."""
DURABLE = "[]."
"""The server's own settings, for measurements."""


@dataclass
class Broker:
    """A RabbitMQ server that this process runs; not started yet when made."""

    home: Path
    host: str = node.LOOPBACK
    erlang: str = FAST
    authority: Authority | None = None
    ports: node.Ports = field(init=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = node.free_ports(self.host)
        conf = node.configuration(self.host, self.ports, USER, PASSWORD, self.authority)
        node.prepare(self.home, conf, self.erlang)

    @property
    def amqp_port(self) -> int:
        """Where clients connect in plain text."""
        return self.ports.amqp

    @property
    def tls_port(self) -> int:
        """Where clients connect by TLS; only listens when the broker has an authority."""
        return self.ports.tls

    @property
    def management_url(self) -> str:
        """The management API, with credentials, without a path."""
        return f"http://{_credentials(USER)}@{self.host}:{self.ports.management}"

    @property
    def prometheus_url(self) -> str:
        """The metrics plugin, without a path: /metrics, /metrics/per-object, /metrics/detailed."""
        return f"http://{self.host}:{self.ports.prometheus}"

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.home / "log" / "server.log"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self.processes["server"].pid

    @property
    def running(self) -> bool:
        """True from ``start`` until the process ends."""
        return "server" in self.processes and self.processes["server"].poll() is None

    def start(self) -> None:
        """Starts the server and returns once it takes connections and answers the management API."""
        variables = node.environment(self.home, self.ports)
        if "mapper" not in self.processes:
            mapper = ["epmd", "-port", str(self.ports.mapper), "-address", node.LOOPBACK]
            self.processes["mapper"] = node.spawn(self.home, variables, *mapper)
        self.processes["server"] = node.spawn(self.home, variables, *command("rabbitmq-server"))
        until(self._answers, node.START_WITHIN, self._last_words)

    def stop(self) -> None:
        """Ends the server in good order: what it holds is on disk, its clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server at once; clients see their connections break."""
        self._end(signal.SIGKILL)

    def flush(self) -> None:
        """Writes the server's own tables to disk.

        A quorum queue declared less than about three seconds before ``kill`` has no leader afterwards, for ever.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def ctl(self, *arguments: str) -> str:
        """Runs rabbitmqctl against this server and returns what it printed; two seconds: prefer ``api``."""
        done = subprocess.run(
            command("rabbitmqctl", "--quiet", *arguments),
            env=node.environment(self.home, self.ports),
            cwd=self.home,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr.decode()}{done.stdout.decode()}")
        return done.stdout.decode()

    def api(self, method: str, path: str, body: object = None) -> Any:
        """One request to the management API, ``path`` below /api; the answer's JSON, None when it has none.

        RuntimeError with the answer's text for a status from 400 on, OSError when the server isn't there. Asked again
        for 500, the answer of RabbitMQ 3.10 while a queue that it lists comes or goes.
        """
        status, text = until(lambda: self._answer(method, path, body), 120, f"an answer to {method} {path}")
        if status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def _answer(self, method: str, path: str, body: object) -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection(self.host, self.ports.management, timeout=120)
        try:
            secret = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
            connection.request(method, f"/api/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return None if answer.status == http.client.INTERNAL_SERVER_ERROR else (answer.status, text)

    def create_vhost(self, name: str | None = None) -> "Vhost":
        """A fresh virtual host and a user of its own, who may do everything in there and see it in the management API.

        The name has a character that a URL has to encode.
        """
        unique = uuid4().hex[:12]
        made = Vhost(self, name or f"test/{unique}", f"user-{unique}")
        self.api("PUT", f"vhosts/{made.quoted}", {})
        self.api("PUT", f"users/{made.user}", {"password": PASSWORD, "tags": "management"})
        for user in (made.user, USER):
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            self.api("PUT", f"permissions/{made.quoted}/{user}", everything)
        return made

    def drop_vhost(self, vhost: "Vhost") -> None:
        """Removes a virtual host with all it holds, and its user, ending whoever is connected to it."""
        self.api("DELETE", f"vhosts/{vhost.quoted}")
        self.api("DELETE", f"users/{vhost.user}")

    def close_connections(self, *users: str) -> None:
        """Closes every client's connection, or those of these users, as an operator would.

        By user, not by the list of connections: that lags by five seconds.
        """
        for user in users or [user["name"] for user in self.api("GET", "users")]:
            self.api("DELETE", f"connections/username/{user}")

    def reap(self) -> None:
        """Waits for processes that somebody else ended."""
        for process in self.processes.values():
            process.wait()

    def _answers(self) -> bool:
        if not self.running:
            raise RuntimeError(f"the server ended: {self._last_words()}")
        ports = [self.amqp_port, *([self.tls_port] if self.authority else [])]
        with suppress(OSError, http.client.HTTPException, RuntimeError):
            checks = [self.api("GET", f"health/checks/port-listener/{port}") for port in ports]
            return all(check["status"] == "ok" for check in checks)
        return False

    def _last_words(self) -> str:
        texts = [path.read_text(errors="replace") for path in (self.home / "output", self.log) if path.exists()]
        return "\n".join(text[-2000:] for text in texts)

    def _end(self, how: signal.Signals) -> None:
        server = self.processes["server"]
        server.send_signal(how)
        node.ended(self.home, server)


@dataclass(frozen=True)
class Vhost:
    """A virtual host of a running server, and the name of its user."""

    broker: Broker
    name: str
    user: str

    @property
    def quoted(self) -> str:
        """The name as a part of a URL's path."""
        return quote(self.name, safe="")

    @property
    def url(self) -> str:
        """Where clients connect to: user, password, address and virtual host."""
        return f"amqp://{_credentials(self.user)}@{self.broker.host}:{self.broker.amqp_port}/{self.quoted}"

    @property
    def tls_url(self) -> str:
        """The same by TLS, with a certificate of the broker's private authority."""
        return f"amqps://{_credentials(self.user)}@{self.broker.host}:{self.broker.tls_port}/{self.quoted}"

    @property
    def management_url(self) -> str:
        """The management API, with the credentials of this user (tag ``management``), without a path."""
        return f"http://{_credentials(self.user)}@{self.broker.host}:{self.broker.ports.management}"

    def api(self, method: str, path: str, body: object = None) -> Any:
        """One request as administrator; ``{}`` in the path stands for this virtual host, as in ``queues/{}/jobs``."""
        return self.broker.api(method, path.replace("{}", self.quoted), body)

    def close_connections(self) -> None:
        """Closes every client's connection of this user, as an operator would."""
        self.broker.close_connections(self.user)


@contextmanager
def throw_away_broker(
    *, host: str = node.LOOPBACK, erlang: str = FAST, tls: bool = False, started: bool = True
) -> Iterator[Broker]:
    """A server of the test's own, removed afterwards with its files and processes; ``tls`` adds a TLS listener."""
    home = Path(tempfile.mkdtemp(prefix="workerpool-rabbitmq-"))
    try:
        authority = make_authority(home / "tls", host) if tls else None
        broker = Broker(home, host, erlang, authority)
        try:
            with node.guarded(home):
                if started:
                    broker.start()
                yield broker
        finally:
            broker.reap()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _credentials(user: str) -> str:
    return f"{quote(user, safe='')}:{quote(PASSWORD, safe='')}"
