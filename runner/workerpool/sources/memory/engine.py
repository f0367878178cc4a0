"""The queues themselves: the same promises as the Postgres engine, kept by plain data structures and a given clock.

Nothing here waits or runs by itself. Due jobs become ready, and leases that ran out become claimable, when somebody
looks. Leases of an open source are renewed on that occasion too, so that a clock may jump without stealing its jobs.
"""

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workerpool.outcome import Completed, DeadLetter, Interrupted, Output, Retry, Stale, Succeeded
from workerpool.sources.base import Enqueued, Job, NewJob, Settlement, Subscription
from workerpool.sources.memory.records import DeadRecord, EventRecord, FinishedRecord, MessageRecord, Row, Token
from workerpool_contract.backlog import Backlog


class Owner(Protocol):
    """A source, as the engine sees it. ``lease``: seconds that its renewals are good for."""

    @property
    def lease(self) -> float:
        """Seconds."""
        ...

    def holding(self) -> Sequence[Job]:
        """The jobs whose leases it still renews."""
        ...

    def taken(self, job: Job, *, cancelled: bool) -> None:
        """It is no longer this source's: another one claimed it after its lease ran out, or it was cancelled."""
        ...

    def notify(self) -> None:
        """A queue may have work."""
        ...


@dataclass(slots=True)
class Totals:
    """What finished on one queue since it exists: ``failed`` counts attempts."""

    completed: int = 0
    failed: int = 0


@dataclass(slots=True, eq=False)
class MemoryEngine:
    """All queues of one "server". ``clock``: seconds, from any origin; it must not run backwards."""

    clock: Callable[[], float]
    dead: dict[int, DeadRecord] = field(default_factory=dict)
    history: list[FinishedRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    messages: list[MessageRecord] = field(default_factory=list)
    _ready: dict[str, dict[int, Row]] = field(default_factory=dict)
    _heaps: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _delayed: dict[int, Row] = field(default_factory=dict)
    _keys: dict[tuple[str, str], int] = field(default_factory=dict)
    _subscribers: dict[str, list[str]] = field(default_factory=dict)
    _owners: dict[int, Owner] = field(default_factory=dict)
    _totals: dict[str, Totals] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _boots: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def join(self, owner: Owner) -> int:
        """Registers a source under a fresh number, its boot."""
        boot = next(self._boots)
        self._owners[boot] = owner
        return boot

    def leave(self, boot: int) -> None:
        """This source renews nothing any more."""
        self._owners.pop(boot, None)

    def subscribe(self, subscription: Subscription) -> None:
        """Gives the queue a copy of what is sent to the topic from now on."""
        queues = self._subscribers.setdefault(subscription.topic, [])
        if subscription.queue not in queues:
            queues.append(subscription.queue)

    def enqueue(self, topic: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """One copy per subscribed queue; the ids are those of the first."""
        now = self.clock()
        self.messages += [MessageRecord(topic, job.payload, job.headers, now) for job in jobs]
        targets = self._subscribers.get(topic) or [topic]
        copies = [[self._add(queue, job) for job in jobs] for queue in targets]
        self._notify()
        return copies[0]

    def claim(self, token: Token, wants: Mapping[str, int], lease: float) -> list[Job]:
        """At most ``wants[queue]`` jobs of each queue under a lease of ``lease`` seconds."""
        now = self.clock()
        self._tidy(now)
        jobs: list[Job] = []
        for queue, limit in wants.items():
            heap, rows = self._heaps.get(queue, []), self._ready.get(queue, {})
            for _ in range(limit):
                row = _pop(heap, rows, now)
                if row is None:
                    break
                jobs.append(self._lease(row, token, now, lease))
        return jobs

    def settle(self, boot: int, settlements: Sequence[Settlement]) -> list[Job]:
        """Carries out outcomes; returns the jobs whose lease was lost, for which nothing was changed."""
        now, stale = self.clock(), []
        for it in settlements:
            if isinstance(it.outcome, Stale | Completed):
                continue
            row = self.held(boot, it.job)
            if row is None:
                stale.append(it.job)
            else:
                self._settle(row, it, now)
        return stale

    def extend(self, boot: int, jobs: Sequence[Job], lease: float) -> list[Job]:
        """Renews leases; returns the jobs that are lost."""
        lost = []
        for job in jobs:
            row = self.held(boot, job)
            if row is None:
                lost.append(job)
            else:
                row.lease_until = self.clock() + lease
        return lost

    def held(self, boot: int, job: Job) -> Row | None:
        """The row of a claimed job while its claim stands."""
        row = self._ready.get(job.queue, {}).get(job.id)
        return row if row is not None and row.token == job.handle and job.handle.boot == boot else None

    def progress(self, row: Row, state: str, percent: int | None, data: str | None) -> None:
        """Records an event of a claimed job."""
        self.events.append(EventRecord(row.id, row.attempts + 1, state, percent, data, self.clock()))

    def cancel(self, job_id: int) -> bool:
        """Takes an unfinished job out; a source that holds it is told. False when it is finished or unknown."""
        now = self.clock()
        for rows in (self._delayed, *self._ready.values()):
            row = rows.pop(job_id, None)
            if row is not None:
                self._close(row, "cancelled", now)
                self._tell_holder(row, now, cancelled=True)
                return True
        return False

    def expire(self) -> int:
        """Takes out every unstarted job whose time is over; returns how many."""
        now, gone = self.clock(), 0
        for rows in (self._delayed, *self._ready.values()):
            for row in [row for row in rows.values() if row.token is None and row.is_expired(now)]:
                del rows[row.id]
                self._close(row, "expired", now)
                gone += 1
        return gone

    def redrive(self, job_id: int) -> bool:
        """Puts a dead letter back on its queue with its attempts and crashes forgotten; False when there is none."""
        record = self.dead.pop(job_id, None)
        if record is None:
            return False
        now = self.clock()
        row = Row(job_id, record.queue, record.payload, record.headers, record.priority, None, now, now, None)
        self._push(row)
        self._notify()
        return True

    def unfinished(self, queue: str | None = None) -> list[Row]:
        """The jobs of a queue (None: of all) that are ready, in flight or delayed, in the order of enqueueing."""
        rows = itertools.chain(self._delayed.values(), *(rows.values() for rows in self._ready.values()))
        return sorted((row for row in rows if queue in (None, row.queue)), key=lambda row: row.id)

    def next_due(self, queues: Sequence[str] | None = None) -> float | None:
        """When (engine clock) the first delayed job is due, None when none waits. ``queues`` None: of any queue."""
        due = (row.available_at for row in self._delayed.values() if queues is None or row.queue in queues)
        return min(due, default=None)

    def backlog(self, queue: str) -> Backlog:
        """A reading of one queue."""
        now = self.clock()
        self._tidy(now)
        rows = self._ready.get(queue, {}).values()
        ready = [row.available_at for row in rows if row.token is None or row.lease_until <= now]
        delayed = [row.available_at for row in self._delayed.values() if row.queue == queue]
        totals = self._totals.get(queue, Totals())
        return Backlog(
            ready=len(ready),
            in_flight=len(rows) - len(ready),
            delayed=len(delayed),
            dead=sum(1 for record in self.dead.values() if record.queue == queue and record.forwarded_to is None),
            oldest_age=now - min(ready) if ready else None,
            next_due=min(delayed) - now if delayed else None,
            completed=totals.completed,
            failed=totals.failed,
        )

    def _add(self, queue: str, job: NewJob) -> Enqueued:
        now, number = self.clock(), next(self._ids)
        if job.unique_key is not None:
            taken = self._keys.setdefault((queue, job.unique_key), number)
            if taken != number:
                return Enqueued(taken, duplicate=True)
        row = Row(
            id=number,
            queue=queue,
            payload=job.payload,
            headers=job.headers,
            priority=job.priority,
            unique_key=job.unique_key,
            enqueued_at=now,
            available_at=now + max(0.0, job.delay),
            expires_at=None if job.expires_in is None else now + job.expires_in,
        )
        if job.delay > 0:
            self._delayed[row.id] = row
        else:
            self._push(row)
        return Enqueued(row.id, duplicate=False)

    def _push(self, row: Row) -> None:
        row.token = None
        self._ready.setdefault(row.queue, {})[row.id] = row
        heapq.heappush(self._heaps.setdefault(row.queue, []), row.order)

    def _lease(self, row: Row, token: Token, now: float, lease: float) -> Job:
        self._tell_holder(row, now, cancelled=False)
        if row.token is not None and (row.crashes == 0 or row.marked):
            row.crashes += 1
        row.token, row.lease_until, row.marked = token, now + lease, False
        return row.claimed(now)

    def _tell_holder(self, row: Row, now: float, *, cancelled: bool) -> None:
        holder = self._owners.get(row.token.boot) if row.token is not None else None
        if holder is not None:
            holder.taken(row.claimed(now), cancelled=cancelled)

    def _tidy(self, now: float) -> None:
        """Moves due jobs to their queues, renews what its owner still holds, offers again what nobody renewed."""
        for row in [row for row in self._delayed.values() if row.available_at <= now]:
            del self._delayed[row.id]
            self._push(row)
        for boot, owner in list(self._owners.items()):
            self.extend(boot, owner.holding(), owner.lease)
        for queue, rows in self._ready.items():
            for row in rows.values():
                if row.token is not None and row.lease_until <= now:
                    heapq.heappush(self._heaps[queue], row.order)

    def _settle(self, row: Row, settlement: Settlement, now: float) -> None:
        totals = self._totals.setdefault(row.queue, Totals())
        if isinstance(settlement.outcome, Interrupted):
            self._push(row)
            self._notify()
            return
        del self._ready[row.queue][row.id]
        match settlement.outcome:
            case Succeeded(result, outputs):
                totals.completed += 1
                self._close(row, "completed", now, result=result)
                self._publish(outputs)
            case Retry(delay, error):
                totals.failed += 1
                self._again(row, now + delay, error)
            case DeadLetter() as outcome:
                totals.failed += 1
                self._bury(row, outcome, settlement.worker, now)
                self._close(row, "dead", now, error=outcome.error)
                self._publish(outcome.outputs)
            case _:
                self._close(row, "expired", now)

    def _again(self, row: Row, due: float, error: str) -> None:
        row.attempts += 1
        row.last_error, row.token, row.available_at = error, None, due
        self._delayed[row.id] = row

    def _bury(self, row: Row, outcome: DeadLetter, worker: str, now: float) -> None:
        self.dead[row.id] = DeadRecord(
            id=row.id,
            queue=row.queue,
            reason=str(outcome.reason),
            error=outcome.error,
            worker=worker,
            priority=row.priority,
            attempts=row.attempts,
            crashes=row.crashes,
            payload=row.payload,
            headers=row.headers,
            forwarded_to=outcome.outputs[0].topic if outcome.outputs else None,
            died_at=now,
        )

    def _close(self, row: Row, state: str, now: float, *, error: str | None = None, result: str | None = None) -> None:
        if row.unique_key is not None:
            self._keys.pop((row.queue, row.unique_key), None)
        self.history.append(
            FinishedRecord(
                id=row.id,
                queue=row.queue,
                state=state,
                priority=row.priority,
                attempts=row.attempts,
                crashes=row.crashes,
                payload=row.payload,
                headers=row.headers,
                enqueued_at=row.enqueued_at,
                finished_at=now,
                error=error,
                result=result,
            )
        )

    def _publish(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.enqueue(output.topic, [NewJob(output.payload)])

    def _notify(self) -> None:
        for owner in list(self._owners.values()):
            owner.notify()


def _pop(heap: list[tuple[int, int]], rows: Mapping[int, Row], now: float) -> Row | None:
    """The first row that can be claimed; entries of rows that went elsewhere are dropped on the way."""
    while heap:
        row = rows.get(heapq.heappop(heap)[1])
        if row is not None and (row.token is None or row.lease_until <= now):
            return row
    return None
