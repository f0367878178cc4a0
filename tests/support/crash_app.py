"""The app of the crash tests: every handler tells a witness what it does, and payloads say how it ends.

A payload is ``{"n": 7}`` plus what the handler looks at. ``gate``: name of a file in the folder of gates; the handler
goes on once it exists, or one with the id of the handler's process behind that name. The environment names the
witness's file and the folder of gates.
"""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.support.witness import ENV_GATES, ENV_WITNESS, Witness
from workerpool import worker

LOOK_EVERY = 0.01

WITNESS = Witness(Path(os.environ[ENV_WITNESS]))
GATES = Path(os.environ[ENV_GATES])

Payload = dict[str, Any]


def _is_open(payload: Payload) -> bool:
    gate = str(payload.get("gate", "gate"))
    return (GATES / gate).exists() or (GATES / f"{gate}.{os.getpid()}").exists()


async def _pass_gate(payload: Payload) -> dict[str, int]:
    """Waits for the gate on the event loop; tells when it was cut off."""
    number = payload["n"]
    WITNESS.write("start", number)
    try:
        while not _is_open(payload):  # noqa: ASYNC110 - the gate is opened by another process
            await asyncio.sleep(LOOK_EVERY)
    except asyncio.CancelledError:
        WITNESS.write("cut", number)
        raise
    WITNESS.write("finish", number)
    return {"pid": os.getpid()}


def _block_until_open(payload: Payload) -> dict[str, int]:
    """Waits for the gate without ever yielding: a thread, a process or a hogged event loop."""
    WITNESS.write("start", payload["n"])
    while not _is_open(payload):
        time.sleep(LOOK_EVERY)
    WITNESS.write("finish", payload["n"])
    return {"pid": os.getpid()}


@worker(topic="quick", concurrency=20)
async def quick(payload: Payload) -> None:
    """A short job that awaits something."""
    WITNESS.write("start", payload["n"])
    await asyncio.sleep(payload.get("seconds", 0.002))
    WITNESS.write("finish", payload["n"])


@worker(topic="deadly", concurrency=6)
async def deadly(payload: Payload) -> None:
    """``how``: kills the process that runs it; without it a neighbour that is in flight meanwhile."""
    WITNESS.write("start", payload["n"])
    how = payload.get("how")
    await asyncio.sleep(0.05 if how else 0.15)
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    WITNESS.write("finish", payload["n"])


@worker(topic="deadly-child", executor="process", concurrency=2, max_retries=1, retry_backoff="fixed")
def deadly_child(payload: Payload) -> None:
    """Kills the child process that runs it, not the runner."""
    WITNESS.write("start", payload["n"])
    if payload.get("how") == "exit":
        os._exit(7)
    WITNESS.write("finish", payload["n"])


@worker(topic="gated", concurrency=50)
async def gated(payload: Payload) -> dict[str, int]:
    """Async, until the gate opens."""
    return await _pass_gate(payload)


@worker(topic="told", output_topic="told-of", concurrency=1)
async def told(payload: Payload) -> dict[str, int]:
    """Hogs the event loop until the gate opens; its result is published too."""
    return _block_until_open(payload)


@worker(topic="gated-thread", concurrency=5)
def gated_thread(payload: Payload) -> dict[str, int]:
    """In a thread, until the gate opens."""
    return _block_until_open(payload)


@worker(topic="gated-process", executor="process", concurrency=2)
def gated_process(payload: Payload) -> dict[str, int]:
    """In a child process, until the gate opens."""
    return _block_until_open(payload)


@worker(topic="slow", timeout=5.0, max_retries=0)
async def slow(payload: Payload) -> dict[str, int]:
    """Async with a timeout."""
    return await _pass_gate(payload)


@worker(topic="slow-thread", timeout=5.0, max_retries=0)
def slow_thread(payload: Payload) -> dict[str, int]:
    """In a thread, with a timeout."""
    return _block_until_open(payload)


@worker(topic="slow-process", executor="process", timeout=20.0, max_retries=0, concurrency=1)
def slow_process(payload: Payload) -> dict[str, int]:
    """In a child process, with a timeout that leaves it time to start."""
    return _block_until_open(payload)
