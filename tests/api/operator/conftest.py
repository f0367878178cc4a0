"""The operator as a process of its own, a real API server, a real Postgres; no node, so no pods by themselves."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.support.apiserver import ApiServer
from tests.support.patience import until
from tests.support.ports import free_port

START_SECONDS = 90.0
SECONDS = 45.0


@dataclass
class OperatorProcess:
    """`python -m workerpool_operator`, and the port of its health page."""

    server: ApiServer
    namespace: str
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns when it is ready."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WORKERPOOL_")},
            **self.server.environment,
            "WORKERPOOL_OPERATOR_NAMESPACES": self.namespace,
            "WORKERPOOL_OPERATOR_HOST": "127.0.0.1",
            "WORKERPOOL_OPERATOR_PORT": str(self.port),
            "WORKERPOOL_OPERATOR_RUNNER_IMAGE": "local/runner:1",
            **self.environment,
        }
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workerpool_operator"], env=environment, stdout=log, stderr=log
            )
        until(self.ready, START_SECONDS, lambda: f"the operator is ready: {self.log()}")

    def ready(self) -> bool:
        """Whether /readyz says so; fails the test when the process has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"the operator ended with {self.process.returncode}: {self.log()}"
        return self.page("readyz") is not None

    def page(self, name: str) -> str | None:
        """What a page says, None when it is not served with a 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            return None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(90)

    def log(self) -> str:
        """The end of what it wrote."""
        return self.log_file.read_text(errors="replace")[-6000:]


@dataclass(frozen=True)
class Shop:
    """A namespace with an operator, and what a user does there."""

    server: ApiServer
    namespace: str
    operator: OperatorProcess
    database: str

    def secret(self, name: str = "queue-db", url: str | None = None) -> None:
        """Creates or changes the Secret with the database's URL."""
        value = base64.b64encode((url or self.database).encode()).decode()
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"url": value}}
        self.server.apply(body, self.namespace)

    def pool(self, name: str = "orders", **spec: Any) -> None:
        """Creates or changes a pool."""
        merged = {
            "source": {"postgres": {"queue": name, "urlSecretRef": {"name": "queue-db"}}},
            "worker": {"app": "shop.workers"},
            "scaling": {"backlogPerReplica": 1, "maxReplicas": 20, "pollIntervalSeconds": 1},
            **spec,
        }
        body = {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": {"name": name}, "spec": merged}
        self.server.apply(body, self.namespace)

    def kubectl(self, *arguments: str) -> str:
        """Calls kubectl in this namespace."""
        return self.server.kubectl(f"--namespace={self.namespace}", *arguments)

    def get(self, kind: str, name: str = "orders") -> dict[str, Any] | None:
        """An object, None when there is none."""
        found = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found.strip() else None

    def size(self, name: str = "orders") -> int | None:
        """What the Deployment was told, None when there is none."""
        found = self.get("deployment", name)
        return None if found is None else int(found["spec"]["replicas"])

    def condition(self, kind: str, name: str = "orders") -> tuple[str, str, str]:
        """Status, reason and message of a condition of a pool, empty while there is none."""
        found = self.get("workerpool", name) or {}
        for condition in found.get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition.get("message", "")
        return "", "", ""

    def reasons(self) -> list[str]:
        """Reasons of all events."""
        return [
            event["reason"] for event in self.server.json("get", "events", f"--namespace={self.namespace}")["items"]
        ]

    def enqueue(self, count: int, queue: str = "orders") -> None:
        """Adds jobs."""
        command = [sys.executable, "-m", "workerpool", "enqueue", queue, "--file", "-", "--url", self.database]
        lines = "".join('{"n": 1}\n' for _ in range(count))
        subprocess.run(command, input=lines, text=True, check=True, capture_output=True)

    def writes(self) -> list[tuple[str, str, str]]:
        """Every write of anybody in this namespace so far: verb, resource and name."""
        found = []
        for entry in self.server.audit_log():
            what = entry.get("objectRef", {})
            if what.get("namespace") == self.namespace and entry["verb"] not in {"get", "list", "watch"}:
                resource = "/".join(part for part in (what["resource"], what.get("subresource")) if part)
                found.append((entry["verb"], resource, what.get("name", "")))
        return found

    def rest(self, times: int = 4) -> None:
        """Lets the operator look at its pools a few times more."""
        before = self._reconciliations()
        self.until(lambda: self._reconciliations() >= before + times, "more reconciliations")

    def _reconciliations(self) -> int:
        found = re.search(r"workerpool_reconcile_seconds_count (\d+)", self.operator.page("metrics") or "")
        return int(found.group(1)) if found else 0

    def until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Returns once ``condition`` holds."""
        until(condition, seconds, lambda: f"{what}: {self.get('workerpool')}\n{self.operator.log()}")


@pytest.fixture
def shop(api_server: ApiServer, namespace: str, database: str, tmp_path: Path) -> Iterator[Shop]:
    """A namespace with a running operator."""
    with operator_process(api_server, namespace, tmp_path / "operator.log") as operator:
        operator.start()
        yield Shop(api_server, namespace, operator, database)


@contextmanager
def operator_process(
    server: ApiServer, namespace: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[OperatorProcess]:
    """An operator for one namespace, not yet started; killed at the end if it still runs."""
    operator = OperatorProcess(server, namespace, log, environment or {})
    try:
        yield operator
    finally:
        if operator.process is not None and operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait()
