"""Everything that a broker knows of one job: where it lies, how it ended before, what it reported."""

from typing import Any

from workerpool.sources.administration import DeadFilter, JobDetails, JobState
from workerpool.sources.rabbitmq.admin_desk import Desk, is_one_of, moment
from workerpool.sources.rabbitmq.admin_lanes import waiting_job
from workerpool.sources.rabbitmq.admin_letters import Letters
from workerpool.sources.rabbitmq.admin_past import Record, event_of, past_of, run_of, started
from workerpool.sources.rabbitmq.envelope import Envelope


async def details(desk: Desk, job_id: int) -> JobDetails | None:
    """The job, unless it is ready or in flight: then nothing but what it was before. None without any trace.

    Raises SourceUnavailable, SourceError.
    """
    ends, events = await past_of(desk, [job_id])
    common: dict[str, Any] = {"events": tuple(map(event_of, events)), "runs": tuple(map(run_of, ends))}
    async with waiting_job(desk, lambda it: is_one_of([job_id], it.id, it.queue)) as place:
        if place is not None:
            return _delayed(desk, place.job, common)
    [*dead] = await Letters(desk).newest(DeadFilter(ids=(job_id,), limit=1))
    if dead:
        it = dead[0]
        return JobDetails(
            id=it.id,
            queue=it.queue,
            state=JobState.DEAD,
            priority=it.priority,
            attempts=it.retries,
            crashes=it.crashes,
            enqueued_at=it.enqueued_at,
            available_at=it.enqueued_at,
            finished_at=it.died_at,
            reason=it.reason,
            error=it.error,
            worker=it.worker,
            headers=it.headers,
            payload=it.payload,
            **common,
        )
    return _ended(desk, ends[0], common) if ends else None


def _delayed(desk: Desk, job: Envelope, common: dict[str, Any]) -> JobDetails:
    return JobDetails(
        id=job.id,
        queue=job.queue,
        state=JobState.DELAYED,
        priority=job.priority,
        attempts=job.attempts,
        crashes=job.crashes,
        enqueued_at=desk.made(job),
        available_at=moment(job.due or job.enqueued),
        expires_at=None if job.expires is None else moment(job.expires),
        unique_key=job.key,
        headers=job.headers,
        payload=job.payload,
        **common,
    )


def _ended(desk: Desk, it: Record, common: dict[str, Any]) -> JobDetails:
    return JobDetails(
        id=it["id"],
        queue=it["queue"],
        state=JobState(it["state"]),
        priority=it["priority"],
        attempts=it["attempts"],
        crashes=it["crashes"],
        enqueued_at=desk.made(Envelope(it["queue"], it["id"], "", it["enqueued"])),
        available_at=moment(it["enqueued"]),
        waited=max(0.0, (started(it) - moment(it["enqueued"])).total_seconds()),
        finished_at=moment(it["finished"]),
        unique_key=it.get("key"),
        reason=it.get("reason"),
        error=it.get("error"),
        worker=it.get("worker") or None,
        headers=it.get("headers"),
        payload=it.get("payload"),
        result=it.get("result"),
        **common,
    )
