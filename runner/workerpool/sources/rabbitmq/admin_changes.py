"""Cancelling a job and running it again, wherever on a broker it is.

A message changes hands only by an acknowledgement after a confirm: whoever is interrupted leaves a job twice, never
not at all.
"""

from dataclasses import dataclass
from typing import Final

from workerpool.sources.administration import Change, DeadFilter, JobState, untold
from workerpool.sources.rabbitmq.admin_desk import Desk, is_one_of
from workerpool.sources.rabbitmq.admin_holders import cancel_held
from workerpool.sources.rabbitmq.admin_lanes import Place, ready_job, waiting_job
from workerpool.sources.rabbitmq.admin_letters import Letters
from workerpool.sources.rabbitmq.admin_past import Record, past_of
from workerpool.sources.rabbitmq.envelope import Envelope, copy_id, encode, milliseconds
from workerpool.sources.rabbitmq.history import finished_record
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool_contract.rabbitmq import lane

NO_TRACE: Final = "no trace of it: there is no such job, or it is {where}, or its history has been cleaned up"
CANCELLED: Final = str(JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Changes:
    """Of the jobs of a virtual host. Raises SourceUnavailable, SourceError."""

    desk: Desk

    async def cancel(self, job_id: int) -> Change:
        """Takes an unfinished job away, from the broker or from its runner."""
        async with waiting_job(self.desk, self._is(job_id)) as place:
            if place is not None:
                await self._cancelled(place)
                return Change(job_id, JobState.DELAYED, changed=True, note="cancelled")
        if await Letters(self.desk).count(DeadFilter(ids=(job_id,), limit=1)):
            return Change(job_id, JobState.DEAD, changed=False, note="it is dead: use `workerpool dlq drop`")
        if await cancel_held(self.desk.link, self.desk.sender, self._ids(job_id)):
            return Change(job_id, JobState.IN_FLIGHT, changed=True, note="cancelled; its runner cuts the handler off")
        async with ready_job(self.desk, await self.desk.queues(None), self._is(job_id)) as place:
            if place is not None:
                await self._cancelled(place)
                return Change(job_id, JobState.READY, changed=True, note="cancelled")
        ends, _ = await past_of(self.desk, [job_id])
        if ends:
            state = JobState(ends[0]["state"])
            return Change(job_id, state, changed=False, note=f"it is {state} already")
        where = "being settled, or far behind in its queue"
        return Change(job_id, None, changed=False, note=NO_TRACE.format(where=where))

    async def retry(self, job_id: int) -> Change:
        """Makes a delayed, dead or ended job ready; a dead or ended one starts again with all its retries."""
        async with waiting_job(self.desk, self._is(job_id)) as place:
            if place is not None:
                now = milliseconds(self.desk.wall())
                await self.desk.send([_ready(place.job._replace(enqueued=now, due=None))])
                await place.remove()
                return Change(job_id, JobState.DELAYED, changed=True, note="ready")
        if await Letters(self.desk).redrive(DeadFilter(ids=(job_id,)), untold):
            return Change(job_id, JobState.DEAD, changed=True, note="ready")
        ends, _ = await past_of(self.desk, [job_id])
        if not ends:
            return Change(job_id, None, changed=False, note=NO_TRACE.format(where="ready or in flight"))
        state = JobState(ends[0]["state"])
        if ends[0].get("payload") is None:
            return Change(job_id, state, changed=False, note="its payload was not kept")
        await self.desk.send([_ready(_again(ends[0], milliseconds(self.desk.wall())))])
        return Change(job_id, state, changed=True, note="ready")

    async def _cancelled(self, place: Place) -> None:
        job = place.job
        now = milliseconds(self.desk.wall())
        error = "cancelled before it started"
        await self.desk.history.append([finished_record(job, CANCELLED, now, worker="", error=error)])
        if job.key is not None:
            await self.desk.keys.release([(job.queue, job.key, job.id)])
        await place.remove()

    def _is(self, job_id: int) -> "_Meant":
        return _Meant(job_id)

    def _ids(self, job_id: int) -> set[int]:
        """The job's own id and those of the copies that it may mean."""
        return {job_id, *(copy_id(job_id, queue) for queue in self.desk.registry.known())}


@dataclass(frozen=True, slots=True)
class _Meant:
    """Whether a job is meant by an id."""

    id: int

    def __call__(self, job: Envelope) -> bool:
        return is_one_of((self.id,), job.id, job.queue)


def _ready(job: Envelope) -> Outgoing:
    return Outgoing("", lane(job.queue, job.priority), *encode(job))


def _again(it: Record, now: int) -> Envelope:
    return Envelope(it["queue"], it["id"], it["payload"], now, priority=it["priority"], headers=it.get("headers"))
