"""The module that the runners of these tests load."""

import asyncio
from contextlib import suppress

from workerpool import worker


@worker(topic="quick")
async def double(number: int) -> dict[str, int]:
    """Doubles a number."""
    return {"doubled": number * 2}


@worker(topic="slow", concurrency=1)
async def wait(seconds: float) -> None:
    """Takes a while."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
