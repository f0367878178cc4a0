"""Taking messages one by one (basic.get): exact about how many and from where, a round trip each."""

from collections.abc import Callable
from dataclasses import dataclass

from aiormq.channel import Channel
from pamqp.commands import Basic

from workerpool.sources.rabbitmq.buffer import Buffer
from workerpool.sources.rabbitmq.messages import Arrival, arrival


@dataclass(slots=True)
class Puller:
    """Fills buffers. ``take``: given each arrival and its epoch, says whether a job is, or may be, ready by it."""

    take: Callable[[Arrival, int], bool]
    pulled: int = 0

    async def fill(self, channel: Channel, epoch: int, buffer: Buffer, limit: int, ahead: int) -> None:
        """Until ``limit`` jobs of the queue are ready or there are no more. ``epoch``: that of the channel.

        The lanes that are ordered by priority are taken as far as ``ahead``, or the order would not be right.
        Raises what ``take`` and aiormq raise.
        """
        lanes = buffer.lanes
        await self._pull(channel, epoch, buffer, lanes.high, max(limit, ahead) - buffer.depth(lanes.high))
        missing = limit - len(buffer)
        if missing > 0:
            missing -= await self._pull(channel, epoch, buffer, lanes.normal, missing)
        if missing > 0:
            await self._pull(channel, epoch, buffer, lanes.low, max(limit, ahead) - buffer.depth(lanes.low))

    async def _pull(self, channel: Channel, epoch: int, buffer: Buffer, lane: str, limit: int) -> int:
        found = 0
        while found < limit:
            message = await channel.basic_get(lane)
            if isinstance(message.delivery, Basic.GetEmpty):
                break
            self.pulled += 1
            found += self.take(arrival(buffer.queue, lane, message), epoch)
        return found
