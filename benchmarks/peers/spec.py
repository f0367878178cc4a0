"""What the harness tells a contender's program, and how the program answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Role = Literal["setup", "enqueue", "work"]
Job = Literal["noop", "sleep", "latency", "archive"]
Mode = Literal["single", "batch", "copy", "paced"]

BATCH = 1000
"""Jobs per call in the mode `batch`."""

NAP = 0.01
"""Seconds that a `sleep` job takes."""


@dataclass(frozen=True)
class Spec:
    """One start of a contender's program; times in seconds.

    `gaps` are the pauses between the single enqueues of the mode `paced`; `answers` is a named pipe that takes one
    JSON object per line.
    """

    url: str
    role: Role
    answers: str
    jobs: int = 0
    job: Job = "noop"
    mode: Mode = "batch"
    options: Mapping[str, Any] = field(default_factory=dict)
    gaps: tuple[float, ...] = ()


def load(path: str) -> Spec:
    """The spec in the JSON file at `path`."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))
    return Spec(**{**values, "gaps": tuple(values.get("gaps", ()))})


def answer(spec: Spec, event: str, **values: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Tell the harness that `event` happened."""
    line = json.dumps({"event": event, **values}).encode() + b"\n"
    pipe = os.open(spec.answers, os.O_WRONLY)
    try:
        while line:
            line = line[os.write(pipe, line) :]
    finally:
        os.close(pipe)
