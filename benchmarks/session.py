"""One run: every contender at every setting, round by round, so that a drift of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import psycopg

from benchmarks import measures, trying
from benchmarks.environments import Environments
from benchmarks.model import Contender, ContenderFailed, Record, Scale, Setting
from benchmarks.peers.spec import Mode
from benchmarks.server import Server
from benchmarks.stage import OpenStage, Stage

Work = Callable[[OpenStage], measures.Values]


@dataclass(frozen=True)
class Task:
    """One thing to measure once."""

    measure: str
    contender: Contender
    setting: Setting
    work: Work
    label: str = ""


def tasks(contenders: tuple[Contender, ...], scale: Scale, wanted: tuple[str, ...]) -> Iterator[Task]:
    """One round, measure by measure and contender by contender."""
    for measure in wanted:
        for contender in contenders:
            yield from _tasks_of(contender, scale, measure)


def _tasks_of(contender: Contender, scale: Scale, measure: str) -> Iterator[Task]:
    """What one measure does with one contender."""
    for setting in contender.settings:
        if measure == "throughput":
            yield Task(measure, contender, setting, partial(measures.throughput, jobs=scale.jobs(setting)))
        elif measure == "latency" and setting.part != "extra":
            yield Task(measure, contender, setting, lambda stage: measures.latency(stage, scale))
        elif measure == "sleep" and setting.sleeps:
            yield Task(measure, contender, setting, lambda stage: measures.sleeping(stage, scale.sleeping))
    if measure == "enqueue":
        for mode in contender.enqueues:
            yield Task(measure, contender, contender.settings[0], _enqueue(cast("Mode", mode), scale), mode)


def _enqueue(mode: Mode, scale: Scale) -> Work:
    return lambda stage: measures.enqueueing(stage, mode, scale)


class Session:
    """Runs tasks on one server; writes nothing, yields records."""

    def __init__(self, server: Server, scale: Scale, core: int, room: Path) -> None:
        self._server = server
        self._scale = scale
        self._core = core
        self._room = room
        self._environments = Environments()
        self._out: set[str] = set()

    def install(self, contenders: tuple[Contender, ...]) -> Iterator[Record]:
        """Make every contender ready; a record for each that can't be."""
        yield from trying.install(self._environments, contenders, self._out)

    def run(self, plan: list[Task], *, rounds: int) -> Iterator[Record]:
        """Measure everything `rounds` times (latency and its many samples: once)."""
        left = [task for task in plan if task.contender.name not in self._out]
        for number in range(1, rounds + 1):
            chosen = [task for task in left if number == 1 or task.measure != "latency"]
            for place, task in enumerate(chosen, start=1):
                head = f"round {number}/{rounds} {place}/{len(chosen)} {task.measure} {task.label}".rstrip()
                print(f"{head}: {task.contender.name}, {task.setting.name} ... ", end="", flush=True)
                yield from trying.attempts(partial(self._once, task), _brief, self._scale.attempts, self._scale.quiet)

    def _once(self, task: Task) -> Record:
        """One measurement on a stage of its own."""
        names = task.measure, task.contender.name, task.setting.name, task.setting.part
        launcher = self._environments.launcher(task.contender)
        stage = Stage(self._server, task.contender, launcher, task.setting, self._room)
        try:
            with (
                psycopg.connect(self._server.database("postgres"), autocommit=True) as admin,
                stage.open(admin, self._core) as opened,
            ):
                values = task.work(opened)
        except ContenderFailed as failure:
            return Record(*names, error=str(failure))
        return Record(*names, values={"at": time.time(), **values}, clean=values["clean"])


def _brief(record: Record) -> str:
    """A line's end for the person who watches."""
    if record.error:
        return f"FAILED: {record.error}"
    values = record.values
    figure = f"p50 {values['p50']:.2f} ms" if record.measure == "latency" else f"{values['per_second']:,.0f}/s"
    noise = "" if record.clean else f" (disturbed: others {values['others']:.2f}, host {values['steal']:.2f} cores)"
    return figure + noise
