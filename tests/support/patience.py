"""Waiting for conditions from outside of any event loop, with a deadline: the only way in which these tests wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.02
"""Seconds between two looks at a condition."""


def until(condition: Callable[[], T | None], seconds: float, what: str | Callable[[], object]) -> T:
    """The first true value of ``condition``; AssertionError saying ``what`` did not happen within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(LOOK_EVERY)


def throughout(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """AssertionError as soon as ``condition`` is false within the next ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"no longer true within {seconds:g} s: {what}"
        time.sleep(LOOK_EVERY)
