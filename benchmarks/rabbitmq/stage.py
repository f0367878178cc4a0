"""One contender at one setting in a virtual host of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.environments import Launcher
from benchmarks.meter import Meter
from benchmarks.model import ContenderFailed
from benchmarks.peers.spec import Job, Role, Spec
from benchmarks.program import Program
from benchmarks.rabbitmq import flood
from benchmarks.rabbitmq.board import Board
from benchmarks.rabbitmq.contenders import Setting
from benchmarks.rabbitmq.servers import Servers

STALLED = 30.0
"""Seconds without a further message after which a worker has hung."""
GOODBYE = 60.0
"""Seconds that a worker gets to stop: Celery, idle, takes about ten."""


@dataclass
class Stage:
    """Where `messages` messages of a kind are worked off: queue, board, bucket, and the programs that use them."""

    servers: Servers
    launcher: Launcher
    setting: Setting
    room: Path
    core: int
    job: Job
    messages: int
    url: str
    bucket: str
    board: Board
    meter: Meter
    options: dict[str, Any]
    template: flood.Template = field(init=False)

    def program(self, role: Role, core: int | None = None, **more: Any) -> Program:  # noqa: ANN401 (any option)
        """A program of this contender."""
        options = {**self.setting.options, **self.options, **more}
        spec = Spec(url=self.url, role=role, answers="", jobs=self.messages, job=self.job, options=options)
        return Program(self.launcher, spec, self.room, core)

    def fill(self, messages: int) -> None:
        """Let the contender make its queue, then put `messages` messages into it."""
        with self.program("setup") as program:
            program.finish()
        self.template = flood.take_first(self.url)
        flood.fill(self.url, self.template, messages)

    def worker(self, **more: Any) -> Program:  # noqa: ANN401 (any option)
        """A worker, pinned to its core."""
        return self.program("work", self.core, **more)

    def done(self) -> int:
        """Messages handled or stored so far, each counted once."""
        if self.job == "archive":
            place = self.servers.objects(self.bucket)
            return sum(1 for _ in place.iterdir()) if place.exists() else 0
        return self.board.done()

    def wait_for(self, messages: int, worker: Program, glance: Callable[[], object] = lambda: None) -> bool:
        """Return True once `messages` messages are done, False when nothing has happened for STALLED seconds.

        `glance` is called every few milliseconds meanwhile. Raises ContenderFailed when the worker ends.
        """
        pause = 0.05 if self.job == "archive" else 0.01
        seen, since = -1, time.monotonic()
        while (now := self.done()) < messages:
            worker.check()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED:
                return False
            glance()
            time.sleep(pause)
        return True

    def expect(self, messages: int, worker: Program, glance: Callable[[], object] = lambda: None) -> None:
        """As `wait_for`; raises ContenderFailed when the messages don't get done."""
        if not self.wait_for(messages, worker, glance):
            raise ContenderFailed(f"{self.done()} of {messages} messages done, none in the last {STALLED:.0f} s")

    def left_after(self, worker: Program) -> int:
        """Stop the worker in good order (or by force, if it does not); the messages that are in the queue then."""
        if not worker.end(GOODBYE):
            worker.kill()
        return flood.ready(self.url)


@contextmanager
def stage(
    servers: Servers, launcher: Launcher, setting: Setting, core: int, job: Job, messages: int
) -> Iterator[Stage]:
    """A fresh virtual host, board and bucket, removed afterwards."""
    vhost = servers.broker.create_vhost(f"bench-{uuid4().hex[:8]}")
    bucket = servers.create_bucket()
    with tempfile.TemporaryDirectory(prefix="workerpool-bench-") as name:
        room = Path(name)
        board = Board(room / "board", messages)
        options = {"board": str(room / "board"), "s3": servers.access(bucket)}
        meter = Meter(None, servers.broker.pid, servers.s3.pid)
        try:
            yield Stage(servers, launcher, setting, room, core, job, messages, vhost.url, bucket, board, meter, options)
        finally:
            servers.broker.drop_vhost(vhost)
