"""Which queues get copies of which topics: an append-only stream, since a broker doesn't tell its bindings over AMQP.

The bindings decide where a plain message goes. This says where delayed and keyed ones must go, which are addressed to
queues, and which queues an administrator has to look at. The last record about a topic and a queue counts.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from workerpool.errors import SourceError
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamfollowing import Follower
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import SUBSCRIPTIONS

TOPIC: Final = "topic"
QUEUE: Final = "queue"
GONE: Final = "gone"


class Registry:
    """The subscriptions of a virtual host, kept up to date while open. Raises SourceUnavailable, SourceError."""

    def __init__(self, link: Link, sender: Sender) -> None:
        """Reads nothing before ``open``."""
        self._log = StreamLog(link, sender, SUBSCRIPTIONS)
        self._follower: Follower | None = None
        self._opening = asyncio.Lock()
        self._topics: dict[str, set[str]] = {}
        self._queues: set[str] = set()

    async def open(self) -> None:
        """Returns when everything that was recorded before the first call is known, and what comes will be."""
        async with self._opening:
            if self._follower is not None:
                return
            follower = Follower(self._log, self._take)
            await follower.start()
            try:
                await follower.sync()
            except BaseException:
                await follower.stop()
                raise
            self._follower = follower

    async def close(self) -> None:
        """Follows no longer."""
        async with self._opening:
            follower, self._follower = self._follower, None
            if follower is not None:
                await follower.stop()

    async def sync(self) -> None:
        """Returns when everything that was recorded before this call is known; for an open one."""
        assert self._follower is not None
        await self._follower.sync()

    def queues_of(self, topic: str) -> tuple[str, ...]:
        """The queues that get copies of ``topic``, sorted; none: its messages land in the queue of that name."""
        return tuple(sorted(self._topics.get(topic, ())))

    def known(self) -> dict[str, frozenset[str]]:
        """All queues of jobs that were ever declared, with the topics that they get copies of."""
        topics = {queue: set[str]() for queue in sorted(self._queues)}
        for topic, queues in self._topics.items():
            for queue in queues:
                topics[queue].add(topic)
        return {queue: frozenset(found) for queue, found in topics.items()}

    async def subscribe(self, topic: str, queue: str) -> None:
        """Records a subscription; its bindings must be there already."""
        if queue not in self._topics.get(topic, ()):
            await self._log.append([{TOPIC: topic, QUEUE: queue}])
            self._take([{TOPIC: topic, QUEUE: queue}])

    async def unsubscribe(self, topic: str, queue: str) -> None:
        """Records the end of a subscription; its bindings go afterwards."""
        await self._log.append([{TOPIC: topic, QUEUE: queue, GONE: True}])
        self._take([{TOPIC: topic, QUEUE: queue, GONE: True}])

    async def note(self, queue: str) -> None:
        """Records a queue that was declared for messages to a topic without subscribers, unless somebody did before."""
        if queue not in self._queues:
            # Publishers of plain jobs have read nothing so far. One that may not read records it once more.
            with suppress(SourceError):
                await self.open()
        if queue not in self._queues:
            await self._log.append([{QUEUE: queue}])
            self._queues.add(queue)

    def _take(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            topic, queue = record.get(TOPIC), record.get(QUEUE)
            if not isinstance(queue, str):
                continue
            self._queues.add(queue)
            if not isinstance(topic, str):
                continue
            if record.get(GONE):
                self._topics.get(topic, set()).discard(queue)
            else:
                self._topics.setdefault(topic, set()).add(queue)
