"""Probes over real sockets: status codes, content types, ports that can't be had, and a loop that is stuck."""

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workerpool.errors import ConfigError
from workerpool.probe_server import ProbeServer
from workerpool.probes import Answer, Probes


@dataclass
class FixedProbes:
    """Probes that say what a test wants."""

    ok: bool = True
    fails_with: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def _answer(self, name: str) -> Answer:
        self.asked.append(name)
        if self.fails_with is not None:
            raise self.fails_with
        return Answer(self.ok, {"status": name})

    def live(self) -> Answer:
        return self._answer("live")

    def ready(self) -> Answer:
        return self._answer("ready")

    def health(self) -> Answer:
        return self._answer("health")

    def metrics_text(self) -> str:
        return "workerpool_jobs_in_flight 0\n"

    def metrics_json(self) -> Mapping[str, Any]:
        return {"queue": {}}


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serves probes on a free loopback port until the test ends; returns the port."""
    servers: list[ProbeServer] = []

    def start(probes: Probes, host: str = "127.0.0.1") -> int:
        servers.append(ProbeServer(probes, host, 0))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=45)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers["Content-Type"], body


@pytest.mark.parametrize("path", ["/live", "/ready", "/health", "/health/", "/live?verbose=1"])
@pytest.mark.parametrize("ok", [True, False])
def test_probes_answer_200_or_503_with_json(serve: Callable[..., int], path: str, ok: bool) -> None:
    status, content_type, body = ask(serve(FixedProbes(ok=ok)), path)
    assert status == (200 if ok else 503)
    assert content_type.startswith("application/json")
    assert json.loads(body)["status"] == path[1:].split("?", maxsplit=1)[0].rstrip("/")


def test_head_answers_without_a_body(serve: Callable[..., int]) -> None:
    assert ask(serve(FixedProbes(ok=False)), "/ready", "HEAD") == (503, "application/json; charset=utf-8", b"")


def test_metrics_are_text_or_json_as_asked(serve: Callable[..., int]) -> None:
    port = serve(FixedProbes())
    assert ask(port, "/metrics")[1].startswith("text/plain; version=0.0.4")
    assert json.loads(ask(port, "/metrics", Accept="application/json")[2]) == {"queue": {}}


def test_an_unknown_path_names_the_known_ones(serve: Callable[..., int]) -> None:
    status, _, body = ask(serve(FixedProbes()), "/healthz")
    assert status == 404
    assert b"/live, /ready, /health, /metrics" in body


def test_a_broken_probe_says_so_without_secrets(serve: Callable[..., int]) -> None:
    status, _, body = ask(serve(FixedProbes(fails_with=ValueError("amqp://u:s3cret@mq"))), "/health")
    assert status == 500
    assert b"ValueError" in body
    assert b"s3cret" not in body


def test_a_silent_client_does_not_block_the_next_one(serve: Callable[..., int]) -> None:
    port = serve(FixedProbes())
    with socket.create_connection(("127.0.0.1", port)):
        assert ask(port, "/live")[0] == 200


def test_probes_answer_while_the_event_loop_is_blocked_by_cpu_work(serve: Callable[..., int]) -> None:
    port = serve(FixedProbes())
    answered: Future[tuple[int, str, bytes]] = Future()

    async def hog() -> bool:
        deadline = time.monotonic() + 60
        while not answered.done() and time.monotonic() < deadline:
            sum(range(1000))
        return answered.done()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: answered.set_result(ask(port, "/live")))
        assert asyncio.run(hog())
    assert answered.result()[0] == 200


def test_a_port_in_use_names_the_variable_the_port_and_the_cure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"WORKERPOOL_PROBE_PORT: port {port} on 127\.0\.0\.1 is in use.*0 for any"
        ):
            ProbeServer(FixedProbes(), "127.0.0.1", port).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours_names_the_variable(host: str) -> None:
    with pytest.raises(ConfigError, match=f"WORKERPOOL_PROBE_HOST: cannot listen on '{host}'.*127.0.0.1"):
        ProbeServer(FixedProbes(), host, 0).start()


def test_closing_frees_the_port_and_may_be_repeated() -> None:
    server = ProbeServer(FixedProbes(), "127.0.0.1", 0)
    port = server.start()
    server.close()
    server.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_the_process_keeps_no_descriptors_of_finished_requests(serve: Callable[..., int]) -> None:
    port = serve(FixedProbes())
    ask(port, "/live")
    before = open_descriptors()
    for _ in range(50):
        ask(port, "/live")
    assert open_descriptors() <= before + 5
