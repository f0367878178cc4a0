"""The first look at the cluster, before the operator does anything else."""

import asyncio

import pytest

from workerpool_operator.service import finished_before


async def test_it_is_over_before_the_end_or_it_is_not() -> None:
    stop = asyncio.Event()

    async def look() -> None:
        pass

    assert await finished_before(stop, look())
    stop.set()
    assert not await finished_before(stop, asyncio.Event().wait())


async def test_a_defect_in_it_ends_the_operator() -> None:
    async def look() -> None:
        raise KeyError("items")

    with pytest.raises(KeyError, match="items"):
        await finished_before(asyncio.Event(), look())
