"""The command line in this process, with its output, its exit code and an environment of its own."""

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.tables import Tables
from workerpool.cli.main import main
from workerpool.redaction import forget_secrets
from workerpool.registry import REGISTRY

PASSWORD = "kestrel-4711"

APP = '''
"""An app for the command line."""
from workerpool import worker

@worker(topic="orders", output_topic="done", concurrency=5)
async def notify(order: dict) -> None: ...

@worker(topic="events", group_id="audit", max_retries=1)
def audit(event: dict) -> None: ...
'''


@dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


class Shell(Protocol):
    """Types a command; ``stdin`` is what it can read."""

    def __call__(self, *words: str | int, stdin: bytes = b"") -> Result: ...


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Shell]:
    """Runs commands in an empty folder, without any setting of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("WORKERPOOL_", "DATABASE_URL", "OTEL_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("WORKERPOOL_STATE_DIR", str(tmp_path / "no-state"))

    def run(*words: str | int, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    with REGISTRY.scoped():
        yield run
    forget_secrets()
    sys.modules.pop("shop", None)


@pytest.fixture
def queue(shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """A migrated database that the environment names."""
    monkeypatch.setenv("WORKERPOOL_URL", database)
    return Tables(database)


@pytest.fixture
def nowhere(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL in the environment where nobody listens: what is refused before anything is sent ends with 2, not 3."""
    url = f"postgresql://app:{PASSWORD}@127.0.0.1:{free_port()}/queue"
    monkeypatch.setenv("WORKERPOOL_URL", url)
    return url


@pytest.fixture
def app(shell: Shell) -> str:
    """The name of an app in the current folder."""
    Path("shop.py").write_text(APP)
    return "shop"


@pytest.fixture
def guarded(postgres_server: Server, database: str) -> Iterator[str]:
    """The URL of a migrated database whose user must give a password, which is ``PASSWORD``."""
    rules = postgres_server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
    postgres_server.execute(f"create role guarded login superuser password '{PASSWORD}'")
    postgres_server.execute("select pg_reload_conf()")
    yield database.replace("//tests@", f"//guarded:{PASSWORD}@")
    rules.write_text(before)
    postgres_server.execute("drop owned by guarded cascade", database.rpartition("/")[2])
    postgres_server.execute("drop role guarded")
    postgres_server.execute("select pg_reload_conf()")
