"""Throw-away S3 servers for tests: versitygw, built from its Go module, with its objects as files of a folder.

One server per test process (fixture ``s3_server``); a test that stops, kills or breaks a server starts its own with
``throw_away_s3(s3_program)``. What is stored is read from the files: nobody has to be asked.
"""

import http.client
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from tests.cluster.api import Unavailable
from tests.cluster.binaries import binary_dir
from tests.support import broker_node as node
from tests.support.patience import until
from tests.support.ports import free_port
from workerpool_contract.archive import ArchiveSettings, archive_to_environment

REGION: Final = "garage"
"""Not the default of anybody, so that whoever forgets the region fails in every test."""
START_WITHIN: Final = 150.0
_PRIVATE: Final = ".sgwtmp"
"""Where the server keeps what is not an object yet."""


@dataclass
class S3Server:
    """A server that this process runs; not started yet when made. ``home``: its folder; ``host``: where it listens.

    ``logged``: it writes a line per request to ``log``.
    """

    program: Path
    home: Path
    host: str = node.LOOPBACK
    port: int = field(default_factory=free_port)
    access_key: str = "tests-access"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    process: subprocess.Popen[bytes] | None = None
    logged: bool = False

    @property
    def log(self) -> Path:
        """Its requests, when it is told to log them."""
        return self.home / "requests.log"

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """True from ``start`` until the process ends."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self.process is not None
        return self.process.pid

    def settings(self, bucket: str) -> ArchiveSettings:
        """What an archive worker is told to use this bucket."""
        return ArchiveSettings(
            endpoint=self.endpoint,
            region=REGION,
            bucket=bucket,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )

    def environment(self, bucket: str) -> dict[str, str]:
        """The same as variables."""
        return archive_to_environment(self.settings(bucket))

    def start(self) -> None:
        """Starts the server and returns once it answers. The same port and objects as before."""
        for name in ("objects", "notes"):
            (self.home / name).mkdir(exist_ok=True)
        variables = {
            "PATH": "/usr/bin:/bin",
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
            "VGW_REGION": REGION,
        }
        options = ["--port", f"{self.host}:{self.port}", "--keep-alive", "--quiet", "--health", "/health"]
        if self.logged:
            options += ["--access-log", str(self.log)]
        # Beside the objects: not every file system of a test machine keeps attributes of files.
        backend: list[str | Path] = ["posix", "--sidecar", self.home / "notes", self.home / "objects"]
        self.process = node.spawn(self.home, variables, self.program, *options, *backend)
        until(self._answers, START_WITHIN, lambda: f"the S3 server answers: {self._last_words()}")

    def stop(self) -> None:
        """Ends the server in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server at once; clients see their connections break."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """The server is there and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends ``pause``."""
        self._signal(signal.SIGCONT)

    def create_bucket(self) -> str:
        """The name of a bucket that nobody used before; the archive makes the bucket."""
        return f"test-{uuid4().hex[:12]}"

    def has_bucket(self, bucket: str) -> bool:
        """Whether the bucket is there."""
        return (self.home / "objects" / bucket).is_dir()

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Every object of a bucket by its key; empty without the bucket."""
        folder = self.home / "objects" / bucket
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(_PRIVATE in part for part in path.relative_to(folder).parts)
        }

    def _answers(self) -> bool:
        assert self.running, f"the S3 server ended: {self._last_words()}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        return (self.home / "output").read_text(errors="replace")[-2000:]

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self._signal(how)
        node.ended(self.home, self.process)


def s3_binary() -> Path:
    """The server's program; the first time it is built, for some minutes. Raises Unavailable."""
    return binary_dir("s3") / "versitygw"


def prepare_s3() -> None:
    """Builds the program before the time limit of a test could run; whoever asks for it is told why it can't be."""
    with suppress(Unavailable):
        s3_binary()


@contextmanager
def throw_away_s3(
    program: Path, *, host: str = node.LOOPBACK, started: bool = True, logged: bool = False
) -> Iterator[S3Server]:
    """A server of the test's own, removed afterwards with its files and processes."""
    home = Path(tempfile.mkdtemp(prefix="workerpool-s3-"))
    try:
        server = S3Server(program, home, host, logged=logged)
        with node.guarded(home):
            if started:
                server.start()
            yield server
        if server.process is not None:
            server.process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)
