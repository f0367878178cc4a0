"""The doctor's judgement: measurements in, a line with its cure out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workerpool.sources.checks import Check, Level, duration, size
from workerpool.sources.postgres.migrate import SchemaState

OLDEST_SERVER: Final = 140_000
PINNED_WARN: Final = 300.0
PINNED_FAIL: Final = 3600.0
DEAD_ROWS_WARN: Final = 500_000
INDEX_ROW_BYTES: Final = 60
"""What an index entry may take, half-empty pages included."""
TABLE_ROW_BYTES: Final = 4_000
SMALL: Final = 64 * 1024 * 1024
"""Below this size (bytes) nobody needs to care."""
CONNECTIONS_PER_RUNNER: Final = 4
"""Claims, settlements, control, and the producer of the handlers."""
FULL: Final = 0.8


@dataclass(frozen=True, slots=True)
class Session:
    """A session, or a prepared transaction, and for how long (seconds) its snapshot has been held."""

    who: str
    name: str
    state: str | None
    seconds: float


def version(number: int) -> Check:
    """``number``: server_version_num."""
    shown = f"Postgres {number // 10_000}.{number % 10_000}"
    if number < OLDEST_SERVER:
        return Check("version", Level.FAIL, shown, "upgrade the server to 14 or newer")
    return Check("version", Level.OK, shown)


def schema(state: SchemaState, edited: Sequence[int]) -> Check:
    """``edited``: applied versions whose file in this release reads differently."""
    if state.unknown:
        newest = max(state.unknown)
        return Check("schema", Level.FAIL, f"version {newest} is newer than this release", "upgrade workerpool")
    if state.pending:
        names = ", ".join(f"{one.version} {one.name}" for one in state.pending)
        return Check("schema", Level.FAIL, f"lacks migrations: {names}", "run `workerpool migrate`")
    if edited:
        shown = ", ".join(map(str, edited))
        return Check(
            "schema", Level.WARN, f"migration {shown} differs from this release", "compare the releases in use"
        )
    return Check("schema", Level.OK, f"version {max(state.applied, default=0)} is current")


def pooler(*, present: bool, pooled: bool) -> Check:
    """``pooled``: whether runners are told that there is one."""
    if present and not pooled:
        cure = "set mode: Pooled in source.postgres (or WORKERPOOL_POSTGRES_MODE=Pooled), or connect directly"
        return Check("pooler", Level.WARN, "a connection pooler (PgBouncer) stands in between", cure)
    if pooled and not present:
        cure = "set mode: Direct: runners then wake at once instead of polling"
        return Check("pooler", Level.WARN, "mode is Pooled, but the connection is direct", cure)
    return Check("pooler", Level.OK, "in between, and mode is Pooled" if present else "none; the connection is direct")


def notifications(seconds: float | None) -> Check:
    """``seconds``: the round trip, None when nothing arrived."""
    if seconds is None:
        cure = "connect directly or use mode Pooled; until then idle runners find jobs by polling"
        return Check("notifications", Level.WARN, "LISTEN hears nothing", cure)
    return Check("notifications", Level.OK, f"LISTEN hears NOTIFY after {seconds * 1000:.1f} ms")


def durability(fsync: str, synchronous_commit: str) -> Check:
    """The server's two settings by name."""
    if fsync == "off":
        cure = "set fsync = on, unless losing the database is fine"
        return Check("durability", Level.WARN, "fsync is off: a crash of the machine can destroy the data", cure)
    if synchronous_commit == "off":
        cure = "set synchronous_commit = on, unless losing the last moments is fine"
        return Check("durability", Level.WARN, "synchronous_commit is off: a crash loses the last jobs", cure)
    return Check("durability", Level.OK, f"fsync {fsync}, synchronous_commit {synchronous_commit}")


def transactions(oldest: Session | None) -> Check:
    """``oldest``: whoever has held a snapshot longest, None when nobody does."""
    if oldest is None or oldest.seconds < PINNED_WARN:
        return Check("transactions", Level.OK, "no old snapshot keeps dead rows from being cleaned up")
    level = Level.FAIL if oldest.seconds >= PINNED_FAIL else Level.WARN
    prepared = oldest.state == "prepared"
    state = "" if prepared or oldest.state is None else f", {oldest.state}"
    cure = f"rollback prepared '{oldest.who}'" if prepared else f"select pg_terminate_backend({oldest.who})"
    who = f"{oldest.name} ({oldest.who}{state})" if prepared else f"{oldest.name} (pid {oldest.who}{state})"
    return Check(
        "transactions",
        level,
        f"{who} has kept a transaction open for {duration(oldest.seconds)}: dead rows pile up and claims get slow",
        f"end it: {cure}",
    )


def privileges(who: str, owner: str, *, granted: bool, owns: bool) -> Check:
    """``granted``: all that jobs need. ``owns``: may make and drop history partitions, as ``owner`` may."""
    if granted and owns:
        return Check("privileges", Level.OK, f"{who} may use the queue's tables")
    if granted:
        shown = f"{who} may use the queue's tables, but not make the history's next partition"
        return Check("privileges", Level.WARN, shown, f"grant {owner} to {who}, or let runners log in as {owner}")
    cure = f"as the owner: grant usage on schema workerpool, and all on all tables and sequences in it, to {who}"
    return Check("privileges", Level.FAIL, f"{who} may not use the queue's tables", cure)


def autovacuum(*, on: bool, options: Sequence[str], dead_rows: int, vacuumed_ago: float | None) -> Check:
    """``options``: storage options of the table. ``vacuumed_ago``: seconds, None when it never was."""
    last = "never needed yet" if vacuumed_ago is None else f"last {duration(vacuumed_ago)} ago"
    if not on:
        return Check("autovacuum", Level.FAIL, "autovacuum is off on this server", "set autovacuum = on")
    if {"autovacuum_enabled=false", "autovacuum_enabled=off"} & set(options):
        cure = "alter table workerpool.job reset (autovacuum_enabled)"
        return Check("autovacuum", Level.FAIL, "autovacuum is off for workerpool.job", cure)
    if dead_rows > DEAD_ROWS_WARN:
        cure = "look at the line `transactions`, then vacuum workerpool.job"
        return Check("autovacuum", Level.WARN, f"{dead_rows} dead rows in workerpool.job, {last}", cure)
    return Check("autovacuum", Level.OK, f"on for workerpool.job, {last}")


def bloat(rows: float, table_bytes: int, index_bytes: int) -> Check:
    """Sizes against what ``rows`` live rows could need; an estimate from the planner's statistics."""
    shown = f"workerpool.job {size(table_bytes)}, its index {size(index_bytes)}, about {rows:.0f} rows"
    if index_bytes > SMALL and index_bytes > 4 * INDEX_ROW_BYTES * rows:
        return Check("bloat", Level.WARN, shown, "reindex index concurrently workerpool.job_claim")
    if table_bytes > SMALL and table_bytes > TABLE_ROW_BYTES * rows:
        return Check("bloat", Level.WARN, shown, "vacuum workerpool.job; if that is not enough, vacuum full when idle")
    return Check("bloat", Level.OK, shown)


def connections(allowed: int, used: int, runners: int) -> Check:
    """``allowed``: for ordinary users. A runner process needs up to four."""
    more = max(0, allowed - used) // CONNECTIONS_PER_RUNNER
    shown = f"{used} of {allowed} in use, {runners} runners alive, room for {more} more"
    if used >= allowed * FULL:
        cure = "raise max_connections, lower maxReplicas, or use PgBouncer with mode Pooled"
        return Check("connections", Level.WARN, shown, cure)
    return Check("connections", Level.OK, shown)


def longest(seconds: float | None, lease: float, timeout: float) -> Check:
    """``seconds``: the longest of the recent jobs, None without any. ``lease``, ``timeout``: as runners have them."""
    if seconds is None:
        return Check("longest job", Level.OK, f"no history yet; lease {lease:g} s, job timeout {timeout:g} s")
    shown = f"{duration(seconds)} of {timeout:g} s allowed; the lease of {lease:g} s is renewed while a job runs"
    if seconds > timeout * FULL:
        return Check("longest job", Level.WARN, shown, "raise jobTimeoutSeconds, or make the job smaller")
    return Check("longest job", Level.OK, shown)
