"""The module that the runners of these tests load."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import eventually
from workerpool import worker


@worker(topic="quick")
async def double(number: int) -> dict[str, int]:
    """Doubles a number."""
    _tell(f"double {number}")
    return {"doubled": number * 2}


@worker(topic="slow", concurrency=1)
async def wait(seconds: float) -> None:
    """Takes a while."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
    _tell(f"wait {seconds:g}")


@worker(topic="held", concurrency=1)
async def hold(release: str) -> None:
    """Takes until there is a file of this name."""
    path = Path(release)

    async def released() -> bool:
        return await asyncio.to_thread(path.exists)

    _tell(f"hold {path.name}")
    await eventually(released, f"{path} is there", within=240)
    _tell(f"held {path.name}")


def _tell(what: str) -> None:
    """Adds a line to the file that the test names; one write, so that lines of several runners don't mix."""
    if name := os.environ.get("LOCAL_APP_TELLS"):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")
