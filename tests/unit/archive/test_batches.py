"""Batches: when they are sealed, what they hold, and what becomes of their messages."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.virtual_time import VirtualLoop, run, until
from workerpool.archive.batches import Batcher, BatchLimits, Message, as_line, batch_id
from workerpool.errors import HandBack, TerminalError

LIMITS = BatchLimits(messages=3, seconds=5.0, size=100)


@dataclass
class Storage:
    """Takes batches; ``error`` says what it raises for one. ``batches``: the ids of each one that was sent."""

    loop: VirtualLoop
    error: Callable[[Sequence[Message]], Exception | None] = lambda _messages: None
    batches: list[tuple[float, list[int]]] = field(default_factory=list)

    async def deliver(self, messages: Sequence[Message]) -> None:
        self.batches.append((self.loop.time(), [message.id for message in messages]))
        await until(self.loop.time() + 0.1)
        error = self.error(messages)
        if error is not None:
            raise error


def play(scenario: Callable[[Storage, Batcher], Awaitable[None]]) -> None:
    async def scene(loop: VirtualLoop) -> None:
        storage = Storage(loop)
        batcher = Batcher(LIMITS, storage.deliver)
        await scenario(storage, batcher)
        await batcher.close()

    run(scene)


def add(batcher: Batcher, *ids: int, size: int = 1) -> list["asyncio.Task[None]"]:
    return [asyncio.create_task(batcher.add(one, b"x" * size, 0.0)) for one in ids]


def test_the_first_limit_seals_a_batch_and_nobody_is_done_before_it_is_stored() -> None:
    async def scenario(storage: Storage, batcher: Batcher) -> None:
        full = add(batcher, 2, 3, 1)
        await until(0.05)
        assert storage.batches == [(0.0, [1, 2, 3])], "in the order of the jobs' ids"
        assert not any(task.done() for task in full)
        await asyncio.gather(*full)
        assert storage.loop.time() == pytest.approx(0.1)

        await asyncio.gather(*add(batcher, 4, 5))
        moment, ids = storage.batches[-1]
        assert ids == [4, 5]
        assert moment == pytest.approx(5.1), "after five seconds"

        await asyncio.gather(*add(batcher, 6, 7, size=60))
        assert [ids for _, ids in storage.batches[2:]] == [[6], [7]], "by size"

    play(scenario)


def test_a_failed_batch_fails_each_of_its_messages() -> None:
    async def scenario(storage: Storage, batcher: Batcher) -> None:
        storage.error = lambda _messages: HandBack("away")
        results = await asyncio.gather(*add(batcher, 1, 2, 3), return_exceptions=True)
        assert [type(result) for result in results] == [HandBack] * 3

    play(scenario)


def test_what_is_too_much_together_is_stored_apart_and_only_the_guilty_one_dies() -> None:
    async def scenario(storage: Storage, batcher: Batcher) -> None:
        storage.error = lambda messages: TerminalError("no") if 2 in {message.id for message in messages} else None
        first, second, third = await asyncio.gather(*add(batcher, 1, 2, 3), return_exceptions=True)
        assert (first, third) == (None, None)
        assert isinstance(second, TerminalError)

    play(scenario)


def test_a_message_that_was_cut_off_leaves_its_batch() -> None:
    async def scenario(storage: Storage, batcher: Batcher) -> None:
        first, second = add(batcher, 1, 2)
        await until(1.0)
        first.cancel()
        await second
        assert [ids for _, ids in storage.batches] == [[2]]

    play(scenario)


def test_at_a_drain_nobody_waits_for_others() -> None:
    async def scenario(storage: Storage, batcher: Batcher) -> None:
        waiting = add(batcher, 1)
        await until(1.0)
        batcher.drain()
        await asyncio.gather(*waiting, *add(batcher, 2))
        assert storage.loop.time() < 1.5

    play(scenario)


def test_the_same_jobs_make_the_same_batch() -> None:
    async def ids() -> tuple[str, str, str]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        one, two = (Message(number, b"", 0.0, done) for number in (1, 12))
        done.cancel()
        return batch_id("q", [one, two]), batch_id("q", [two, one]), batch_id("q", [one])

    same, again, other = asyncio.run(ids())
    assert same == again != other
    assert len(same) == 32


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.none())), st.sampled_from([None, 2]))
def test_a_line_says_what_its_message_says(value: dict[str, object], indent: int | None) -> None:
    payload = json.dumps(value, indent=indent, ensure_ascii=False)
    line = as_line(payload.encode("utf-8", "replace").decode())
    assert b"\n" not in line
    assert b"\r" not in line
    if indent is None:
        assert line == payload.encode("utf-8", "replace")
    assert json.loads(line) == json.loads(payload.encode("utf-8", "replace"))
