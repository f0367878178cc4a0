"""The values that the harness passes around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Environment = Literal["project", "python", "oban", "node", "rabbitmq"]
"""Where a contender's program runs: this project's own environment, or one that the harness installs."""

Part = Literal["best", "unbatched", "default", "extra"]
"""Why a setting is measured: fastest, one job per claim at concurrency 10, as shipped, for information."""

Measure = Literal["throughput", "latency", "enqueue", "sleep"]

MEASURES: tuple[Measure, ...] = ("throughput", "latency", "enqueue", "sleep")


@dataclass(frozen=True)
class Setting:
    """One way to run a contender's worker.

    `jobs` is the number of no-op jobs of a full run: enough for several seconds. `sleeps` says that the setting holds
    at most 10 jobs at once, so that 10-ms jobs can be compared.
    """

    name: str
    part: Part
    options: Mapping[str, Any]
    jobs: int
    sleeps: bool = False


@dataclass(frozen=True)
class Contender:
    """One job queue.

    `program` is a module for Python, a file name for Node; `unfinished` is SQL that is true while a job is not
    finished; `enqueues` lists the producer's ways that it has.
    """

    name: str
    language: str
    environment: Environment
    package: str
    program: str
    unfinished: str
    settings: tuple[Setting, ...]
    enqueues: tuple[str, ...] = ("single", "batch")


class Startable(Protocol):
    """What has a program of its own."""

    @property
    def name(self) -> str:
        """As it is shown."""

    @property
    def environment(self) -> Environment:
        """Where it runs."""

    @property
    def package(self) -> str:
        """By which its version is known."""

    @property
    def program(self) -> str:
        """A module for Python, a file name for Node."""


@dataclass(frozen=True)
class Scale:
    """How much is measured. Jobs are counts.

    `settle`: seconds that a worker and a producer get to become idle before latency is measured. `quiet`: seconds to
    wait, at most, for the machine to become quiet before a run. `attempts`: how often a disturbed run is made.
    """

    name: str
    rounds: int
    share: float
    least: int
    most: int
    sleeping: int
    single: int
    bulk: int
    samples: int
    settle: float
    quiet: float
    attempts: int

    def jobs(self, setting: Setting) -> int:
        """No-op jobs for one throughput run of `setting`."""
        return max(self.least, min(self.most, round(setting.jobs * self.share)))


FULL = Scale("full", 3, 1.0, 1, 10**9, 3000, 2000, 50_000, 220, settle=1.0, quiet=20.0, attempts=6)
QUICK = Scale("quick", 1, 0.01, 200, 2000, 100, 50, 2000, 20, settle=0.2, quiet=0.0, attempts=1)


class ContenderFailed(Exception):
    """A contender's program ended, hung or gave a result that can't be right; the message says which and how."""


class NotInstallable(Exception):
    """A contender can't be installed on this machine; the message says why."""


@dataclass(frozen=True)
class Record:
    """One line of the results: a measurement of one setting, or what stood in its way."""

    measure: str
    contender: str
    setting: str
    part: str
    values: Mapping[str, Any] = field(default_factory=dict)
    clean: bool = True
    error: str = ""
