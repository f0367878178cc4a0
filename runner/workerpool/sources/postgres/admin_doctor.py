"""The doctor: measures what makes a Postgres queue slow, deaf or unsafe. `admin_checks` judges the measurements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from uuid import uuid4

import asyncpg

from workerpool.errors import ConfigError, SourceError
from workerpool.sources import checks
from workerpool.sources.checks import Check, Level
from workerpool.sources.postgres import admin_checks as judge
from workerpool.sources.postgres import migrate
from workerpool.sources.postgres.connection import Connection, Endpoint, close, connect, translated
from workerpool_contract.urls import describe

LISTEN_SECONDS = 2.0
RECENT_JOBS = 10_000
"""How far back the longest job is looked for."""

PINNING = """
select pid::text as who, coalesce(nullif(application_name, ''), usename, backend_type) as name, state,
       extract(epoch from now() - xact_start)::float8 as seconds
from pg_stat_activity
where backend_xmin is not null and pid <> pg_backend_pid() and xact_start is not null
  and backend_type <> 'autovacuum worker'
union all
select gid, 'prepared transaction', 'prepared', extract(epoch from now() - prepared)::float8 from pg_prepared_xacts
order by seconds desc limit 1
"""

TABLE = """
select c.reltuples::float8 as rows, pg_relation_size(c.oid) as bytes,
       pg_relation_size('workerpool.job_claim'::regclass) as index_bytes,
       coalesce(s.n_dead_tup, 0) as dead_rows, coalesce(c.reloptions, '{}') as options,
       extract(epoch from now() - greatest(s.last_autovacuum, s.last_vacuum))::float8 as vacuumed_ago
from pg_class c left join pg_stat_all_tables s on s.relid = c.oid
where c.oid = 'workerpool.job'::regclass
"""

CONNECTIONS = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as allowed,
       (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
       (select count(*) from workerpool.runner where seen_at > now() - interval '30 seconds') as runners
"""

QUEUES = """
select b.queue, b.ready, b.dead, b.oldest_age, b.truncated,
       exists (select from workerpool.runner r where b.queue = any (r.queues)
               and r.seen_at > now() - interval '30 seconds') as served,
       array(select s.topic from workerpool.subscription s join workerpool.queue q on q.id = s.queue_id
             where q.name = b.queue order by s.topic) as topics
from workerpool.backlog((select coalesce(array_agg(name order by name), '{}') from workerpool.queue)) b
"""

LONGEST = f"""
select max(extract(epoch from h.finished_at - h.started_at))::float8
from (select started_at, finished_at from workerpool.history order by id desc limit {RECENT_JOBS}) h
"""

PRIVILEGES = """
select current_user as who, has_schema_privilege('workerpool', 'usage')
       and has_table_privilege('workerpool.job', 'select, insert, update, delete')
       and has_sequence_privilege('workerpool.job_id', 'usage') as granted,
       (select pg_get_userbyid(relowner) from pg_class where oid = 'workerpool.history'::regclass) as owner,
       (select pg_has_role(relowner, 'usage') from pg_class where oid = 'workerpool.history'::regclass) as owns
"""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: where, and with which settings (seconds) runners are told to work."""

    url: str = field(repr=False)
    pooled: bool = False
    lease: float = 30.0
    job_timeout: float = 300.0


async def examine(patient: Patient) -> AsyncIterator[Check]:
    """The checks one after the other, as they are done. Never raises for what it examines: that is a failed check."""
    endpoint = Endpoint(patient.url, pooled=patient.pooled)
    sent = monotonic()
    try:
        connection = await connect(endpoint, role="doctor")
    except (SourceError, ConfigError) as error:
        yield Check("connection", Level.FAIL, str(error), "correct the URL, or start the server")
        return
    try:
        yield Check("connection", Level.OK, f"{describe(patient.url)} in {(monotonic() - sent) * 1000:.0f} ms")
        healthy = True
        for name, measure in _server_checks(patient, endpoint):
            check = await _attempt(name, endpoint, connection, measure)
            healthy = healthy and (name != "schema" or check.level is not Level.FAIL)
            yield check
        for name, measure in _queue_checks(patient) if healthy else ():
            yield await _attempt(name, endpoint, connection, measure)
    finally:
        await close(connection)


_Measure = Callable[[Connection], Awaitable[Check]]


async def _attempt(name: str, endpoint: Endpoint, connection: Connection, measure: _Measure) -> Check:
    try:
        async with translated(endpoint):
            if not endpoint.pooled:
                return await measure(connection)
            async with connection.transaction():  # Outside of one a pooler may change the server between two steps.
                return await measure(connection)
    except (SourceError, ConfigError) as error:
        return Check(name, Level.FAIL, str(error), "see the message; the user may lack a privilege")


def _server_checks(patient: Patient, endpoint: Endpoint) -> tuple[tuple[str, _Measure], ...]:
    return (
        ("version", _version),
        ("schema", _schema),
        ("pooler", partial(_pooler, patient)),
        ("notifications", partial(_notifications, patient, endpoint)),
        ("durability", _durability),
        ("transactions", _transactions),
    )


def _queue_checks(patient: Patient) -> tuple[tuple[str, _Measure], ...]:
    return (
        ("privileges", _privileges),
        ("autovacuum", _autovacuum),
        ("bloat", _bloat),
        ("connections", _connections),
        ("longest job", partial(_longest, patient)),
        ("queues", _queues),
    )


async def _version(connection: Connection) -> Check:
    return judge.version(int(await connection.fetchval("select current_setting('server_version_num')::int")))


async def _schema(connection: Connection) -> Check:
    found = await migrate.state(connection)
    edited = []
    if found.current:
        known = {each.version: each.checksum for each in migrate.available()}
        rows = await connection.fetch("select version, checksum from workerpool.migration order by version")
        edited = [row["version"] for row in rows if known.get(row["version"]) != row["checksum"]]
    return judge.schema(found, edited)


async def _pooler(patient: Patient, connection: Connection) -> Check:
    # A pooler invents the process id that it tells its clients; the server's own answer gives it away.
    told, real = connection.get_server_pid(), await connection.fetchval("select pg_backend_pid()")
    return judge.pooler(present=told != real, pooled=patient.pooled)


async def _notifications(patient: Patient, endpoint: Endpoint, connection: Connection) -> Check:
    if patient.pooled:
        return Check("notifications", Level.OK, "not used through a pooler; runners poll")
    async with _listening(endpoint) as (channel, heard):
        sent = monotonic()
        await connection.execute("select pg_notify($1, '')", channel)
        try:
            async with asyncio.timeout(LISTEN_SECONDS):
                await heard.wait()
        except TimeoutError:
            return judge.notifications(None)
        return judge.notifications(monotonic() - sent)


@asynccontextmanager
async def _listening(endpoint: Endpoint) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A channel of our own, and the event that its first notification sets."""
    channel, heard = f"workerpool_doctor_{uuid4().hex[:8]}", asyncio.Event()

    def notify(*_: object) -> None:
        heard.set()

    listener = await connect(endpoint, role="doctor")
    try:
        await listener.add_listener(channel, notify)
        yield channel, heard
        await listener.remove_listener(channel, notify)
    finally:
        await close(listener)


async def _durability(connection: Connection) -> Check:
    row = await _row(
        connection,
        "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit",
    )
    return judge.durability(row["fsync"], row["synchronous_commit"])


async def _transactions(connection: Connection) -> Check:
    row = await connection.fetchrow(PINNING)
    return judge.transactions(
        None if row is None else judge.Session(row["who"], row["name"], row["state"], row["seconds"])
    )


async def _privileges(connection: Connection) -> Check:
    row = await _row(connection, PRIVILEGES)
    return judge.privileges(row["who"], row["owner"], granted=row["granted"], owns=row["owns"])


async def _autovacuum(connection: Connection) -> Check:
    row = await _row(connection, TABLE)
    return judge.autovacuum(
        on=await connection.fetchval("select current_setting('autovacuum')") == "on",
        options=row["options"],
        dead_rows=row["dead_rows"],
        vacuumed_ago=row["vacuumed_ago"],
    )


async def _bloat(connection: Connection) -> Check:
    row = await _row(connection, TABLE)
    return judge.bloat(max(row["rows"], 0), row["bytes"], row["index_bytes"])


async def _connections(connection: Connection) -> Check:
    row = await _row(connection, CONNECTIONS)
    return judge.connections(row["allowed"], row["used"], row["runners"])


async def _longest(patient: Patient, connection: Connection) -> Check:
    return judge.longest(await connection.fetchval(LONGEST), patient.lease, patient.job_timeout)


async def _queues(connection: Connection) -> Check:
    rows = await connection.fetch(QUEUES)
    return checks.queues(
        [
            checks.Queue(
                row["queue"], row["ready"], row["dead"], row["oldest_age"] or 0.0, row["served"], tuple(row["topics"])
            )
            for row in rows
        ]
    )


async def _row(connection: Connection, statement: str) -> asyncpg.Record:
    row = await connection.fetchrow(statement)
    if row is None:
        raise SourceError("a measurement came back empty; is the schema complete?")
    return row
