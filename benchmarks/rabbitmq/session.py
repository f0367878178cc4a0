"""One run: every contender at every setting, round by round, so that a drift of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import trying
from benchmarks.environments import Environments
from benchmarks.model import ContenderFailed, Record
from benchmarks.peers.spec import Job
from benchmarks.rabbitmq import measures
from benchmarks.rabbitmq.contenders import US, Contender, Setting
from benchmarks.rabbitmq.servers import Servers
from benchmarks.rabbitmq.stage import Stage, stage

MEASURES = ("noop", "archive", "kill", "profile")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    `share`: of the messages of a full run, `least` at least. `samples`: messages sent at `rates` (per second, by kind)
    once the queue is empty, a quarter of them in the archive. `killed`: messages of a run in which the worker is
    killed. `quiet`: seconds to wait, at most, for the machine to become quiet. `attempts`: how often a disturbed run is
    made. `settings`: of each contender at most so many, all when None.
    """

    name: str
    rounds: int
    share: float
    least: int
    samples: int
    rates: dict[Job, float]
    killed: dict[Job, int]
    quiet: float
    attempts: int
    settings: int | None = None

    def messages(self, full: int) -> int:
        """Messages of one run, `full` being those of a full one."""
        return max(self.least, round(full * self.share))


RATES: dict[Job, float] = {"noop": 250.0, "archive": 100.0}
FULL = Scale("full", 2, 1.0, 1, 1200, RATES, {"noop": 10_000, "archive": 1000}, quiet=10.0, attempts=2)
QUICK = Scale("quick", 1, 0.04, 100, 80, RATES, {"noop": 500, "archive": 50}, quiet=0.0, attempts=1, settings=1)


@dataclass(frozen=True)
class Task:
    """One thing to measure once: `messages` is what its stage has room for."""

    measure: str
    contender: Contender
    setting: Setting
    job: Job
    messages: int
    work: Callable[[Stage], measures.Values]


def tasks(contenders: tuple[Contender, ...], scale: Scale, wanted: tuple[str, ...]) -> Iterator[Task]:
    """One round, measure by measure and contender by contender."""
    jobs: tuple[Job, ...] = ("noop", "archive")
    for measure in wanted:
        for contender in contenders:
            for setting in contender.settings[: scale.settings]:
                for job in jobs:
                    yield from _tasks_of(contender, setting, scale, measure, job)


def _tasks_of(contender: Contender, setting: Setting, scale: Scale, measure: str, job: Job) -> Iterator[Task]:
    """What one measure does with one kind of message at one setting."""
    full = setting.archive if job == "archive" else setting.noop
    if full == 0:
        return
    if measure == job:
        many, samples = scale.messages(full), scale.samples if job == "noop" else scale.samples // 4
        work = _throughput(many, scale.rates[job])
        yield Task(measure, contender, setting, job, many + samples, work)
    elif measure == "kill" and setting.killed:
        many = min(scale.killed[job], full)
        yield Task(measure, contender, setting, job, many, lambda opened: measures.killed(opened, many))
    elif measure == "profile" and contender.name == US and setting.part == "default" and job == "noop":
        many = scale.messages(full)
        yield Task(measure, contender, setting, job, many, lambda opened: measures.profile(opened, many))


def _throughput(messages: int, rate: float) -> Callable[[Stage], measures.Values]:
    return lambda opened: measures.throughput(opened, messages, rate)


class Session:
    """Runs tasks on one pair of servers; writes nothing, yields records."""

    def __init__(self, servers: Servers, scale: Scale, core: int) -> None:
        self._servers = servers
        self._scale = scale
        self._core = core
        self._environments = Environments()
        self._out: set[str] = set()

    def install(self, contenders: tuple[Contender, ...]) -> Iterator[Record]:
        """Make every contender ready; a record for each that can't be."""
        yield from trying.install(self._environments, contenders, self._out)

    def run(self, plan: list[Task]) -> Iterator[Record]:
        """Measure everything; no-op messages in every round, the rest once."""
        left = [task for task in plan if task.contender.name not in self._out]
        for number in range(1, self._scale.rounds + 1):
            chosen = [task for task in left if number == 1 or task.measure == "noop"]
            for place, task in enumerate(chosen, start=1):
                head = f"round {number}/{self._scale.rounds} {place}/{len(chosen)} {task.measure}"
                what = f"{task.contender.name}, {task.setting.name}, {task.job}"
                print(f"{head}: {what} ... ", end="", flush=True)
                yield from trying.attempts(partial(self._once, task), _brief, self._scale.attempts, self._scale.quiet)

    def _once(self, task: Task) -> Record:
        """One measurement on a stage of its own."""
        names = task.measure, task.contender.name, task.setting.name, task.setting.part
        launcher = self._environments.launcher(task.contender)
        try:
            with stage(self._servers, launcher, task.setting, self._core, task.job, task.messages) as opened:
                values = task.work(opened)
        except ContenderFailed as failure:
            return Record(*names, values={"mode": task.job} if task.measure == "kill" else {}, error=str(failure))
        return Record(*names, values={"at": time.time(), **values}, clean=values["clean"])


def _brief(record: Record) -> str:
    """A line's end for the person who watches."""
    if record.error:
        return f"FAILED: {record.error}"
    values = record.values
    match record.measure:
        case "kill":
            figure = f"{values['lost']} lost, {values['twice']} twice, {values['left']} left in the queue"
        case "profile":
            figure = f"{values['samples']} samples"
        case _:
            figure = f"{values['per_second']:,.0f}/s, p99 {values['p99']:.1f} ms"
    noise = "" if record.clean else f" (disturbed: others {values['others']:.2f}, host {values['steal']:.2f} cores)"
    return figure + noise
