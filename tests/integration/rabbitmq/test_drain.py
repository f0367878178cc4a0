"""Runner processes on a broker that are told to stop, or killed: what did not start costs nothing, nothing is lost."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiormq
import pytest

from tests.support.crash_crew import Crew
from tests.support.linked import linked
from tests.support.patience import until
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths
from tests.support.runner_process import RunnerProcess
from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.names import ENV_DRAIN_TIMEOUT
from workerpool_contract.rabbitmq import HISTORY, dead, lanes

pytestmark = [pytest.mark.rabbitmq, pytest.mark.crash]

QUEUE = "gated"
RUNNING = 50
"""The concurrency of the worker ``gated``."""
WITHIN = 60.0


@dataclass
class Scene(Crew):
    """A virtual host, what the handlers did, and the runners."""

    vhost: Vhost

    def start(self, **environ: str) -> RunnerProcess:
        """Starts a runner, without waiting for it."""
        return self.run(self.vhost.url, [QUEUE], **environ)

    def send(self, payloads: Sequence[str]) -> None:
        """Puts jobs on the queue."""
        asyncio.run(_send(self.vhost.url, payloads))

    def ready(self) -> int:
        """Jobs that the broker could deliver now."""
        return sum(count or 0 for count in asyncio.run(depths(self.vhost.url, *lanes(QUEUE))).values())

    def buried(self) -> int:
        """Dead letters."""
        return asyncio.run(depths(self.vhost.url, dead(QUEUE)))[dead(QUEUE)] or 0

    def costs(self) -> list[tuple[int, int]]:
        """Attempts and crashes charged to each job that is over."""
        return asyncio.run(_costs(self.vhost.url))

    def deserted(self) -> bool:
        """Whether the broker has noticed that nobody consumes any more; it has everything back then."""
        return asyncio.run(_consumers(self.vhost.url)) == 0


@pytest.fixture
def scene(vhost: Vhost, tmp_path: Path) -> Iterator[Scene]:
    """An empty virtual host; runners that are left are killed."""
    made = Scene(tmp_path, vhost)
    try:
        yield made
    finally:
        made.close()


def test_running_jobs_finish_and_taken_ones_are_back_at_once_at_no_cost(scene: Scene) -> None:
    runner = _busy(scene)
    until(lambda: scene.ready() < RUNNING, WITHIN, "jobs are taken ahead of free slots")

    runner.send(signal.SIGTERM)

    until(lambda: scene.ready() == RUNNING, WITHIN, "what did not start is ready again, while the rest runs on")
    assert runner.alive
    assert runner.probe("/ready")[0] == 503
    second = scene.start()
    until(lambda: len(scene.witness.keys("start")) == 2 * RUNNING, WITHIN, "another runner has it")
    assert runner.alive
    scene.open()
    assert runner.wait(WITHIN) == 0
    until(lambda: len(scene.costs()) == 2 * RUNNING, WITHIN, "all jobs are over")
    second.send(signal.SIGTERM)
    assert second.wait(WITHIN) == 0
    _each_ran_once(scene)


def test_jobs_that_outlast_the_drain_are_handed_back_at_no_cost(scene: Scene) -> None:
    runner = _busy(scene, **{ENV_DRAIN_TIMEOUT: "1"})

    runner.send(signal.SIGTERM)

    assert runner.wait(WITHIN) == 0
    until(lambda: scene.ready() == 2 * RUNNING, WITHIN, "the broker has all of them back")
    assert len(scene.witness.keys("cut")) == RUNNING
    scene.open()
    second = scene.start()
    until(lambda: len(scene.costs()) == 2 * RUNNING, WITHIN, "another runner does all of them")
    second.send(signal.SIGTERM)
    assert second.wait(WITHIN) == 0
    assert set(scene.witness.counts("finish").values()) == {1}
    assert set(scene.costs()) == {(0, 0)}
    assert scene.buried() == 0


def test_a_kill_amid_two_thousand_jobs_loses_none_and_repeats_only_what_was_unacknowledged(scene: Scene) -> None:
    total = 2000
    # The last ones wait for the gate: the runner can't be through before it is killed.
    gates = ["done" if n < total - 2 * RUNNING else "gate" for n in range(total)]
    scene.send([f'{{"n": {n}, "gate": "{gate}"}}' for n, gate in enumerate(gates)])
    scene.open("done")
    victim = scene.start()
    until(lambda: len(scene.witness) > total // 2, WITHIN, "the runner is amid its jobs")

    victim.kill()

    until(scene.deserted, WITHIN, "the broker notices")
    left = scene.ready()
    started = scene.witness.keys("start")
    assert RUNNING < left < total, "killed too early or too late: this proves less than it should"
    scene.open()
    second = scene.start()
    until(lambda: scene.witness.keys("finish") == set(range(total)), WITHIN, "another runner does the rest")
    second.send(signal.SIGTERM)
    assert second.wait(WITHIN) == 0
    again = [n for n, count in scene.witness.counts("start").items() if count > 1]
    assert len(again) == len(started) - (total - left)
    assert max(scene.witness.counts("start").values()) <= 2
    assert (scene.ready(), scene.buried()) == (0, 0)
    # The victim may have died after it recorded the end of a job and before it acknowledged the message.
    costs = scene.costs()
    assert total <= len(costs) <= total + len(again)
    assert set(costs) <= {(0, 0), (0, 1)}


def _busy(scene: Scene, **environ: str) -> RunnerProcess:
    """A runner with 50 running jobs that wait for the gate, of 100."""
    scene.send([f'{{"n": {n}}}' for n in range(2 * RUNNING)])
    runner = scene.start(**environ).ready()
    until(lambda: len(scene.witness.keys("start")) == RUNNING, WITHIN, "50 jobs run")
    return runner


def _each_ran_once(scene: Scene) -> None:
    for what in ("start", "finish"):
        assert scene.witness.counts(what) == dict.fromkeys(range(2 * RUNNING), 1)
    assert scene.costs() == [(0, 0)] * (2 * RUNNING)
    assert (scene.ready(), scene.buried()) == (0, 0)


async def _send(url: str, payloads: Sequence[str]) -> None:
    publisher = RabbitmqPublisher(Endpoint(url))
    try:
        await publisher.enqueue(QUEUE, [NewJob(payload) for payload in payloads])
    finally:
        await publisher.close()


async def _costs(url: str) -> list[tuple[int, int]]:
    async with linked(url) as watched:
        records = await StreamLog(watched.link, Sender(watched.link), HISTORY).read()
    return [(int(it["attempts"]), int(it["crashes"])) for it in records if it.get("state") == "completed"]


async def _consumers(url: str) -> int:
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        found = [(await channel.queue_declare(lane, passive=True)).consumer_count or 0 for lane in lanes(QUEUE)]
        return sum(found)
    finally:
        await connection.close()
