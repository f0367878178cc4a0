"""A real kube-apiserver with etcd, on loopback and without any node: for what only an API server can tell.

Nothing runs pods or collects garbage here: that takes the cluster of `tests.cluster`, whose interface this one shares.
"""

import json
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.binaries import binary_dir
from tests.support.patience import until
from tests.support.ports import free_port

ADMIN_TOKEN = "administrator"
CRDS = Path(__file__).parents[2] / "crds"
START_SECONDS = 150.0
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}],
}


@dataclass(frozen=True)
class ApiServer(Cluster):
    """The two processes. ``home``: their folder. Made by `api_server_alone`."""

    programs: Path
    home: Path
    port: int
    etcd_port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate to check it with."""
        return self.home / "certificates" / "apiserver.crt"

    def load(self, archive: Path) -> None:
        """Impossible: there is no node."""
        raise Unavailable("an API server without nodes runs no images")

    def audit_log(self) -> list[dict[str, Any]]:
        """See `Cluster.audit_log`."""
        # What follows the last line break is still being written.
        *lines, _ = (self.home / "audit.log").read_text().split("\n")
        return [json.loads(line) for line in lines]

    def service_account_folder(self, folder: Path, token: str = ADMIN_TOKEN, namespace: str = "default") -> Path:
        """Fills ``folder`` as Kubernetes fills a pod's: token, ca.crt and namespace."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "ca.crt").write_text(self.authority.read_text())
        (folder / "namespace").write_text(namespace)
        return folder

    @property
    def pod_environment(self) -> dict[str, str]:
        """The variables that a pod has, to find the API server."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def start(self) -> None:
        """Starts what does not run, and returns when it is ready. Only from the main thread: see `_start_process`."""
        self._start_process("etcd", self._etcd())
        self._start_process("kube-apiserver", self._api_server())
        until(self._is_ready, START_SECONDS, lambda: f"the API server is ready: {self.log('kube-apiserver')}")

    def send(self, program: str, number: signal.Signals) -> None:
        """Sends "etcd" or "kube-apiserver" a signal."""
        self.running[program].send_signal(number)

    def end(self, program: str) -> None:
        """Kills it, as kill -9 does, and waits until it is gone; `start` brings it back."""
        process = self.running.pop(program, None)
        if process is not None:
            process.kill()
            process.wait()

    def log(self, program: str) -> str:
        """The end of what it wrote."""
        return (self.home / f"{program}.log").read_text(errors="replace")[-3000:]

    def _start_process(self, name: str, command: list[str]) -> None:
        if name in self.running:
            return
        # The kernel ends it with the thread that started it, however that one ends.
        guarded = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                guarded, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _is_ready(self) -> bool:
        for name, process in self.running.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}: {self.log(name)}"
        if not self.authority.exists():
            return False
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _etcd(self) -> list[str]:
        url = f"http://127.0.0.1:{self.etcd_port}"
        return [
            "etcd",
            f"--data-dir={self.home / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--logger=zap",
        ]

    def _api_server(self) -> list[str]:
        key = self.home / "service-accounts.key"
        return [
            str(self.programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--cert-dir={self.home / 'certificates'}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.home / 'tokens.csv'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            # Nobody makes the ServiceAccounts that pods would need.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self.home / 'audit-policy.yaml'}",
            f"--audit-log-path={self.home / 'audit.log'}",
            "--audit-log-mode=blocking",
        ]

    def write_files(self) -> None:
        """Writes what the processes and kubectl read."""
        (self.home / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
        (self.home / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))
        subprocess.run(
            ["openssl", "genrsa", "-out", self.home / "service-accounts.key", "2048"], check=True, capture_output=True
        )
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": self.context, "cluster": {"server": self.url, "certificate-authority": str(self.authority)}}
            ],
            "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
            "contexts": [{"name": self.context, "context": {"cluster": self.context, "user": "admin"}}],
            "current-context": self.context,
        }
        self.kubeconfig.write_text(json.dumps(config))


@contextmanager
def api_server_alone() -> Iterator[ApiServer]:
    """A running API server that knows WorkerPools; ended and removed afterwards."""
    programs = binary_dir("kubernetes")
    home = Path(tempfile.mkdtemp(prefix="workerpool-apiserver-"))
    server = ApiServer(
        kubectl_program=programs / "kubectl",
        kubeconfig=home / "kubeconfig",
        context="workerpool-apiserver",
        node_address="127.0.0.1",
        programs=programs,
        home=home,
        port=free_port(),
        etcd_port=free_port(),
    )
    try:
        server.write_files()
        server.start()
        server.kubectl("apply", "--server-side", f"--filename={CRDS}")
        server.wait_for_definitions()
        yield server
    finally:
        for program in list(server.running):
            server.end(program)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """The API server of this test run. A test that takes it away brings it back (``start``)."""
    with api_server_alone() as server:
        yield server


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    """A fresh namespace on the API server."""
    with api_server.namespace() as name:
        yield name
