"""Waiting for conditions: with a deadline, and without fixed pauses."""

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE = 45.0
"""Seconds that anything may take; reached only when something is broken."""


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, within: float = DEADLINE) -> None:
    """Asks again and again until ``condition`` holds; after ``within`` seconds it fails, naming ``what`` is missing."""
    never = asyncio.Event()
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await _turns(never)
    except TimeoutError:
        raise AssertionError(f"after {within:g} s: {what} has not happened") from None


async def _turns(never: asyncio.Event) -> None:
    """Lets others run; short enough that no test gets slower by it."""
    try:
        await asyncio.wait_for(never.wait(), 0.01)
    except TimeoutError:
        return
