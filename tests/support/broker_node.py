"""The node of a RabbitMQ server for tests: its folder, variables and ports; nothing shared with the system's.

The node has a port mapper (epmd), a cookie, a home and a configuration of its own, listens on loopback only unless
told otherwise, and runs as whoever runs the tests: the server refuses nobody, only the package's wrappers do.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from tests.support.authority import Authority
from tests.support.ports import free_port

LOOPBACK = "127.0.0.1"
PLUGINS = ("rabbitmq_management", "rabbitmq_prometheus")
START_WITHIN = 150.0
"""Seconds that a start may take; about five are usual."""


@dataclass(frozen=True)
class Ports:
    """Where the node listens: TCP ports, each free when it was chosen."""

    amqp: int
    management: int
    prometheus: int
    tls: int
    nodes: int
    mapper: int


def free_ports(host: str) -> Ports:
    """Six different ports that nobody listens on at ``host`` at the moment."""
    found: set[int] = set()
    while len(found) < len(fields(Ports)):
        found.add(free_port(host))
    return Ports(*found)


def configuration(host: str, ports: Ports, user: str, password: str, authority: Authority | None) -> str:
    """The text of rabbitmq.conf: listeners, the one user, statistics every second, TLS when there is an authority."""
    lines = {
        "listeners.tcp.1": f"{host}:{ports.amqp}",
        "management.tcp.ip": host,
        "management.tcp.port": ports.management,
        "prometheus.tcp.ip": host,
        "prometheus.tcp.port": ports.prometheus,
        "loopback_users": "none",
        "default_user": user,
        "default_pass": password,
        "collect_statistics_interval": 1000,
        "log.console": "false",
        "log.file": "server.log",
        "log.file.level": "info",
    }
    if authority:
        lines |= {
            "listeners.ssl.1": f"{host}:{ports.tls}",
            "ssl_options.cacertfile": authority.certificate,
            "ssl_options.certfile": authority.server_certificate,
            "ssl_options.keyfile": authority.server_key,
            "ssl_options.verify": "verify_none",
            "ssl_options.fail_if_no_peer_cert": "false",
        }
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def environment(home: Path, ports: Ports) -> dict[str, str]:
    """The variables of the server and of its command-line tools; none of the caller's RABBITMQ_* or ERL_* get in."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
    return inherited | {
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports.mapper),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"{home.name}@localhost",
        "RABBITMQ_DIST_PORT": str(ports.nodes),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "node.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # The script then becomes the server instead of being its parent: one process, ended by its id.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def prepare(home: Path, conf: str, erlang: str) -> None:
    """Writes the files of a node that never ran: ``conf`` is rabbitmq.conf, ``erlang`` is advanced.config."""
    (home / "rabbitmq.conf").write_text(conf)
    (home / "advanced.config").write_text(erlang)
    (home / "enabled_plugins").write_text(f"[{','.join(PLUGINS)}].\n")
    cookie = home / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(20))
    cookie.chmod(0o400)
    (home / "log").mkdir()


def spawn(home: Path, variables: Mapping[str, str], *command: str | Path) -> subprocess.Popen[bytes]:
    """Starts a part of the node in a session of its own; what it prints goes to ``home/output``."""
    with (home / "output").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    (home / "processes").mkdir(exist_ok=True)
    (home / "processes" / str(process.pid)).touch()
    return process


def ended(home: Path, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Waits for the end of a process that was told to end; subprocess.TimeoutExpired when it doesn't."""
    process.wait(seconds)
    (home / "processes" / str(process.pid)).unlink(missing_ok=True)


@contextmanager
def guarded(home: Path) -> Iterator[None]:
    """Ends the processes of the node at the end of the block, or when this process dies: either ends the input."""
    script = 'cat; cd "$1/processes" 2>/dev/null && for pid in *; do kill -9 "$pid"; done; cd /; rm -rf "$1"'
    guard = subprocess.Popen(
        ["sh", "-c", script, "sh", home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.communicate()
