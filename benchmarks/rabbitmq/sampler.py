"""A sampling profiler for the process that imports it: where the main thread is, once per some CPU time."""

from __future__ import annotations

import atexit
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

EVERY = 0.004
"""CPU seconds between two samples; a kernel's clock tick."""
_CODE = ("workerpool", "workerpool_contract", "benchmarks", "aiormq", "aio_pika", "pamqp", "uvloop")


def started_by(call: Callable[[int], None], place: str) -> Callable[[int], None]:
    """`call`, the first time with `start`: what comes before the first message is not looked at."""
    running = False

    def called(number: int) -> None:
        nonlocal running
        if not running:
            running = True
            start(place)
        call(number)

    return called


def start(place: str) -> None:
    """Sample until the process ends, then write what was found to `place`.

    That is `{"samples": n, "own": [[function, n], …], "within": [[function, n], …]}`, functions as `module:name`. A
    sample counts in `own` for the innermost function of a library or of the product: what it makes Python's own modules
    do is its work. In `within` it counts for every such function that is being called.
    """
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()

    def sample(_signal: int, frame: FrameType | None) -> None:
        called = list(_called(frame))
        own[called[0] if called else "?:?"] += 1
        within.update(set(called))

    def write() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        found = {"samples": own.total(), "own": own.most_common(), "within": within.most_common()}
        Path(place).write_text(json.dumps(found), encoding="utf-8")

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    atexit.register(write)


def _called(frame: FrameType | None) -> Iterator[str]:
    """The functions of libraries and of the product, innermost first."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "?"))
        if module.split(".", 1)[0] in _CODE:
            yield f"{module}:{frame.f_code.co_qualname}"
        frame = frame.f_back
