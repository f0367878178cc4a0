"""Containers under the control of a test, locked in as Kubernetes locks in the pods of this project."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.cluster.images.docker import Docker, DockerError
from tests.support.patience import until
from tests.support.ports import free_port
from workerpool_contract.names import ENV_PROBE_HOST, ENV_PROBE_PORT

RESTRICTED = ("--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
"""What the restricted pod security standard asks for; the user is left to the image."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Container:
    """A container that was started in the background. ``port``: of the runner's probes on 127.0.0.1."""

    docker: Docker
    id: str
    port: int

    def logs(self) -> str:
        """Both outputs."""
        command = self.docker.command("logs", self.id)
        done = subprocess.run(
            command, env=self.docker.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.stdout.decode(errors="replace")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.docker.run("inspect", "--format", "{{.State.Running}}", self.id).strip() == "true"

    def is_ready(self) -> bool:
        """Whether /ready says yes; AssertionError with the logs when the container has ended."""
        assert self.is_running(), f"the container ended: {self.logs()[-3000:]}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def ready(self) -> None:
        """Waits until it consumes."""
        until(self.is_ready, START_SECONDS, lambda: f"the runner is ready: {self.logs()[-3000:]}")

    def succeeds(self, *command: str) -> bool:
        """Whether a command inside ends with 0."""
        try:
            self.docker.run("exec", self.id, *command)
        except DockerError:
            return False
        return True

    def terminate(self) -> None:
        """Sends SIGTERM to its first process, as the kubelet does."""
        self.docker.run("kill", "--signal=TERM", self.id)

    def exit_code(self) -> int:
        """Waits for its end."""
        return int(self.docker.run("wait", self.id, seconds=START_SECONDS))


@contextmanager
def started(
    docker: Docker, image: str, environ: Mapping[str, str], volumes: Sequence[tuple[Path, str]] = ()
) -> Iterator[Container]:
    """A running container of ``image``, removed afterwards. ``volumes``: folders and where they appear inside."""
    port = free_port()
    settings = {ENV_PROBE_HOST: "127.0.0.1", ENV_PROBE_PORT: str(port), **environ}
    flags = [f"--env={name}={value}" for name, value in settings.items()]
    flags += [f"--volume={folder}:{place}" for folder, place in volumes]
    container = Container(docker, docker.run("run", "--detach", *RESTRICTED, *flags, image).strip(), port)
    try:
        yield container
    finally:
        docker.run("rm", "--force", "--volumes", container.id)


def output(docker: Docker, image: str, *command: str) -> str:
    """What ``command`` prints in a container of ``image`` (without its entrypoint); DockerError when it fails."""
    return docker.run("run", "--rm", *RESTRICTED, "--entrypoint", command[0], image, *command[1:])
