"""The module that the runners of these tests load."""

import asyncio

from workerpool import worker


@worker(topic="quick")
async def double(number: int) -> dict[str, int]:
    """Doubles a number."""
    return {"doubled": number * 2}


@worker(topic="slow", concurrency=1)
async def wait(seconds: float) -> None:
    """Takes a while."""
    await asyncio.sleep(seconds)
