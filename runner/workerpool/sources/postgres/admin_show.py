"""Puts together everything that the tables know of one job."""

from typing import Any

import asyncpg

from workerpool.sources.administration import Holder, JobDetails, JobEvent, JobState, Run
from workerpool.sources.postgres import admin_sql as sql
from workerpool.sources.postgres.connection import Connection

EVENTS = 50
"""The newest events that are shown."""


async def details(connection: Connection, job_id: int) -> JobDetails | None:
    """The job, wherever it is; its ends so far and its events with it. Call it inside one snapshot."""
    ended = await connection.fetch(sql.HISTORY, job_id)
    events = tuple(_event(row) for row in await connection.fetch(sql.EVENTS, job_id, EVENTS))
    runs = tuple(_run(row) for row in ended)
    if row := await connection.fetchrow(sql.HOT, job_id):
        state = JobState.IN_FLIGHT if row["in_flight"] else JobState.READY
        own: dict[str, Any] = {"unique_key": row["unique_key"], "expires_at": row["expires_at"]}
        own["holder"] = await _holder(connection, row) if row["in_flight"] else None
    elif row := await connection.fetchrow(sql.DELAYED, job_id):
        state = JobState.DELAYED
        own = {"unique_key": row["unique_key"], "expires_at": row["expires_at"], "error": row["error"]}
    elif row := await connection.fetchrow(sql.DEAD, job_id):
        state = JobState.DEAD
        own = {"reason": row["reason"], "error": row["error"], "worker": row["worker"], "finished_at": row["died_at"]}
    elif ended:
        row = ended[0]
        state = JobState(row["state"])
        own = {"error": row["error"], "result": row["result"], "finished_at": row["finished_at"]}
    else:
        return None
    return _details(row, state, events, runs, own)


def _details(
    row: asyncpg.Record, state: JobState, events: tuple[JobEvent, ...], runs: tuple[Run, ...], own: dict[str, Any]
) -> JobDetails:
    return JobDetails(
        id=row["id"],
        queue=row["queue"],
        state=state,
        priority=row["priority"],
        attempts=row["attempts"],
        crashes=row["crashes"],
        enqueued_at=row["enqueued_at"],
        available_at=row.get("available_at") or row["enqueued_at"],
        waited=row.get("waited"),
        headers=row["headers"],
        payload=row["payload"],
        events=events,
        runs=runs,
        **own,
    )


async def _holder(connection: Connection, row: asyncpg.Record) -> Holder:
    found = await connection.fetchrow(sql.HOLDER, row["boot"])
    known = (found["name"], found["host"], found["pid"]) if found else (None, None, None)
    return Holder(str(row["boot"]), row["lease_until"], *known)


def _event(row: asyncpg.Record) -> JobEvent:
    return JobEvent(row["at"], row["attempt"], row["state"], row["progress"], row["data"])


def _run(row: asyncpg.Record) -> Run:
    return Run(
        JobState(row["state"]), row["started_at"], row["finished_at"], row["attempts"], row["error"], row["result"]
    )
