"""What one queue has ready in this process: the jobs of its three lanes, and those kept until they are due."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool_contract.rabbitmq import Lanes, lanes


@dataclass(slots=True)
class Buffer:
    """Deliveries of one queue that nobody claimed yet, in the order in which they are to be handed out.

    Priorities order the high and the low lane; equal ones keep the order of arrival.
    """

    queue: str
    lanes: Lanes = field(init=False)
    _high: list[tuple[int, int, Delivery]] = field(default_factory=list)
    _normal: deque[Delivery] = field(default_factory=deque)
    _low: list[tuple[int, int, Delivery]] = field(default_factory=list)
    _early: list[tuple[int, int, Delivery]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The names of the lanes are needed for every delivery."""
        self.lanes = lanes(self.queue)

    def __len__(self) -> int:
        """Deliveries that could be claimed now."""
        return len(self._high) + len(self._normal) + len(self._low)

    @property
    def held(self) -> int:
        """All deliveries, those that are not due yet included."""
        return len(self) + len(self._early)

    def depth(self, lane: str) -> int:
        """Deliveries of one lane that could be claimed now."""
        if lane == self.lanes.normal:
            return len(self._normal)
        return len(self._high) if lane == self.lanes.high else len(self._low)

    def put(self, it: Delivery) -> None:
        """Takes a delivery that is due."""
        if it.lane == self.lanes.normal:
            self._normal.append(it)
        else:
            heap = self._high if it.lane == self.lanes.high else self._low
            heapq.heappush(heap, (-it.envelope.priority, it.tag, it))

    def keep(self, it: Delivery, due: int) -> None:
        """Keeps a delivery until ``due`` (milliseconds since 1970)."""
        heapq.heappush(self._early, (due, it.tag, it))

    def ripen(self, now: float) -> bool:
        """Makes claimable what is due at ``now`` (unix seconds); whether that was anything."""
        ripe = False
        while self._early and self._early[0][0] <= now * 1000:
            self.put(heapq.heappop(self._early)[2])
            ripe = True
        return ripe

    @property
    def next_due(self) -> float | None:
        """When the first of those that are kept is due (unix seconds), None when there are none."""
        return self._early[0][0] / 1000 if self._early else None

    def take(self, limit: int) -> list[Delivery]:
        """At most ``limit`` deliveries, the most urgent first."""
        taken: list[Delivery] = []
        while self._high and len(taken) < limit:
            taken.append(heapq.heappop(self._high)[2])
        normal = self._normal
        if normal and (count := min(limit - len(taken), len(normal))) > 0:
            taken += [normal.popleft() for _ in range(count)]
        while self._low and len(taken) < limit:
            taken.append(heapq.heappop(self._low)[2])
        return taken

    def older_than(self, moment: float) -> list[Delivery]:
        """Takes out what arrived before ``moment`` (steady seconds)."""
        old = [it for it in self if it.since < moment]
        for it in old:
            self.remove(it)
        return old

    def find(self, ids: frozenset[int]) -> list[Delivery]:
        """Those of these ids."""
        return [it for it in self if it.envelope.id in ids]

    def remove(self, it: Delivery) -> None:
        """Takes out one delivery that is in here."""
        if it in self._normal:
            self._normal.remove(it)
            return
        for heap in (self._high, self._low, self._early):
            kept = [entry for entry in heap if entry[2] is not it]
            if len(kept) < len(heap):
                heap[:] = kept
                heapq.heapify(heap)

    def clear(self) -> list[Delivery]:
        """Takes out everything."""
        all_ = list(self)
        self._normal.clear()
        for heap in (self._high, self._low, self._early):
            heap.clear()
        return all_

    def __iter__(self) -> Iterator[Delivery]:
        """Everything that is held, in no order to rely on."""
        yield from self._normal
        for heap in (self._high, self._low, self._early):
            for entry in heap:
                yield entry[2]
