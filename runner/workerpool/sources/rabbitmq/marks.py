"""What the runners of a vhost say of deliveries: under which a job was about to start, which ended harmlessly.

The broker only counts deliveries. These records, in a stream, tell which of them may be blamed on the job.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from workerpool.sources.rabbitmq.crashes import charged
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool.sources.rabbitmq.streamrecords import JsonRecord

MARKED: Final = "marked"
FORGIVEN: Final = "forgiven"


class Numbered(NamedTuple):
    """One delivery of a message: from which queue (lane), and how often it was delivered before."""

    lane: str
    message_id: str
    number: int


class Question(NamedTuple):
    """How many crashes to charge a job that came with ``before`` of them in this delivery."""

    delivery: Numbered
    before: int


@dataclass(slots=True)
class Marks:
    """The records of a vhost."""

    log: StreamLog
    _gathered: list[Numbered] = field(default_factory=list)
    _next: "asyncio.Task[None] | None" = None
    _appending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def mark(self, it: Numbered) -> None:
        """The job is about to start. Raises SourceError.

        While one append is under way those that are to start next gather, and are confirmed together by another one:
        a stream confirms hundreds of records no later than one.
        """
        self._gathered.append(it)
        if self._next is None:
            self._next = task = asyncio.create_task(self._append_gathered(), name="marks")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Whoever is cut off takes nothing from the others.
        await asyncio.shield(self._next)

    async def _append_gathered(self) -> None:
        async with self._appending:
            gathered, self._gathered, self._next = self._gathered, [], None
            await self.log.append([{MARKED: list(it)} for it in gathered])

    async def forgive(self, deliveries: Iterable[Numbered]) -> None:
        """These deliveries are going to end without an acknowledgement and without a crash. Raises SourceError."""
        records = [{FORGIVEN: list(it)} for it in deliveries]
        if records:
            await self.log.append(records)

    async def judge(self, questions: Sequence[Question], since: float) -> list[int]:
        """The crashes to charge, in order; every record from ``since`` (unix seconds) on counts. Raises SourceError."""
        wanted = {(it.delivery.lane, it.delivery.message_id) for it in questions}
        said: dict[tuple[str, str, str], set[int]] = {}

        def take(records: list[JsonRecord]) -> None:
            for record in records:
                for kind, value in record.items():
                    lane, message_id, number = value
                    if (lane, message_id) in wanted:
                        said.setdefault((kind, lane, message_id), set()).add(number)

        await self.log.scan(take, since=since)
        return [
            charged(
                before,
                number,
                said.get((MARKED, lane, message_id), set()),
                said.get((FORGIVEN, lane, message_id), set()),
            )
            for (lane, message_id, number), before in questions
        ]
