"""A sampling profiler for the process that imports it: where the main thread is, once per some CPU time."""

from __future__ import annotations

import atexit
import json
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY = 0.002
"""CPU seconds between two samples."""
_CODE = ("workerpool", "workerpool_contract", "benchmarks", "aiormq", "aio_pika", "pamqp", "uvloop")


def start(place: str) -> None:
    """Sample until the process ends; then write `{"samples": n, "places": [[module, function, n], …]}` to `place`.

    A sample counts for the innermost function, and for the innermost module that is not Python's own: what a library
    makes the standard library do is the library's.
    """
    found: Counter[tuple[str, str]] = Counter()

    def sample(_signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            found[_owner(frame), f"{_module(frame)}:{frame.f_code.co_qualname}"] += 1

    def write() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        places = [[*key, count] for key, count in found.most_common()]
        Path(place).write_text(json.dumps({"samples": found.total(), "places": places}), encoding="utf-8")

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    atexit.register(write)


def _owner(frame: FrameType) -> str:
    """The innermost module of a library or of the product: its start-up, when the event loop itself runs."""
    at: FrameType | None = frame
    while at is not None:
        module = _module(at)
        if module.split(".", 1)[0] in _CODE:
            return module
        at = at.f_back
    return _module(frame)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
