"""A throw-away PgBouncer in transaction mode before a test server."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.postgres import USER, Server

STARTED = 60.0
"""Seconds until it must answer."""

CONFIG = """
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
server_reset_query_always = 0
"""


@contextmanager
def bouncing(server: Server, *, pool: int = 4) -> Iterator[int]:
    """The port of a PgBouncer with ``pool`` connections to each database of ``server``."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    home, port = Path(tempfile.mkdtemp(prefix="workerpool-pgbouncer-")), free_port()
    users = home / "users.txt"
    users.write_text(f'"{USER}" ""\n')
    config = home / "pgbouncer.ini"
    config.write_text(CONFIG.format(server=server.port, port=port, users=users, pool=pool))
    owner = "nobody" if os.geteuid() == 0 else None  # it refuses root
    if owner:
        for path in (home, users, config):
            shutil.chown(path, owner)
    group = pwd.getpwnam(owner).pw_gid if owner else None
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, config], user=owner, group=group, stdout=log, stderr=log)
        try:
            _wait(process, port, home / "log")
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(45)
            shutil.rmtree(home, ignore_errors=True)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        assert process.poll() is None, f"pgbouncer ended: {log.read_text()}"
        try:
            psycopg.connect(url, connect_timeout=20).close()
        except psycopg.OperationalError:
            return False
        return True

    until(answers, STARTED, lambda: f"pgbouncer answers: {log.read_text()}")
