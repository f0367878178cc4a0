"""``workerpool jobs``: where is a job, what happened to it, run it again, take it away."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import click

from workerpool.cli.output import moment, note, print_json, print_table, printable, shortened
from workerpool.cli.target import administrate, json_option, url_option
from workerpool.errors import WorkerPoolError
from workerpool.sources.administration import Administration, Change, JobDetails, JobRow, JobState
from workerpool.sources.checks import duration

JOB_ID = click.IntRange(1, 2**63 - 1)
limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)


@click.group(name="jobs")
def jobs() -> None:
    """Look at jobs, run them again, cancel them."""


@jobs.command(name="list")
@click.option("--queue", metavar="QUEUE", help="Only jobs of this queue.")
@click.option("--state", type=click.Choice([str(it) for it in JobState]), help="Default: all that are not finished.")
@limit_option
@url_option
@json_option
def list_(*, queue: str | None, state: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List jobs: in flight, ready, delayed and dead, or those of one state.

    On Postgres, ready and in-flight jobs are looked for among the first 100,000 of each queue, finished ones among the
    newest 100,000. RabbitMQ shows nobody the jobs in flight, and finished ones of the last seven days.

    Exit codes: 0 listed (also when there is none), 2 bad input or unknown queue, 3 server unreachable, 4 not migrated.
    """
    rows, unseen = administrate(url, lambda admin: _listed(admin, queue, JobState(state) if state else None, limit))
    if unseen is not None and state is None:
        note(f"Not listed: {unseen}.")
    if as_json:
        print_json(rows)
    elif rows:
        now = datetime.now(UTC)
        columns = ("ID", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "CRASHES", "SINCE", "NOTE")
        print_table(columns, [_line(row, now) for row in rows])
    else:
        click.echo("No jobs.")


async def _listed(
    admin: Administration, queue: str | None, state: JobState | None, limit: int
) -> tuple[Sequence[JobRow], str | None]:
    return await admin.jobs(queue, state, limit), admin.unseen


def _line(row: JobRow, now: datetime) -> Sequence[object]:
    remark = shortened(row.note or "", 60)
    if row.due is not None:
        remark = f"due in {duration(max(0.0, (row.due - now).total_seconds()))} {remark}".strip()
    since = duration(max(0.0, (now - row.since).total_seconds()))
    return (row.id, row.queue, row.state, row.priority, row.attempts, row.crashes, since, remark)


@jobs.command()
@click.argument("job_id", metavar="ID", type=JOB_ID)
@url_option
@json_option
def show(*, job_id: int, url: str | None, as_json: bool) -> None:
    """Show everything known of one job.

    Exit codes: 0 shown, 1 no such job, 2 bad input, 3 server unreachable, 4 not migrated.
    """
    job = administrate(url, lambda admin: admin.show(job_id))
    if job is None:
        raise WorkerPoolError(
            f"job {job_id}: there is no such job, or its history has been cleaned up "
            "(or, on RabbitMQ, it is ready or in flight)"
        )
    if as_json:
        print_json(job)
        return
    for name, value in _facts(job):
        click.echo(f"{name + ':':<13}{printable(value)}")
    for event in job.events:
        percent = "" if event.progress is None else f" {event.progress} %"
        data = "" if event.data is None else f" {shortened(event.data, 200)}"
        click.echo(
            f"{'Event:':<13}{moment(event.at)} attempt {event.attempt} {printable(event.state + percent + data)}"
        )


def _facts(job: JobDetails) -> list[tuple[str, str]]:
    holder = job.holder
    found = [
        ("Job", str(job.id)),
        ("Queue", job.queue),
        ("State", f"{job.state} ({job.reason})" if job.reason else str(job.state)),
        ("Priority", str(job.priority)),
        ("Attempts", f"{job.attempts} failed, {job.crashes} crashes"),
        ("Enqueued", moment(job.enqueued_at)),
        ("Due" if job.state is JobState.DELAYED else "Available", moment(job.available_at)),
        ("Waited", "" if job.waited is None or job.state is JobState.DELAYED else duration(job.waited)),
        ("Finished", moment(job.finished_at)),
        ("Expires", moment(job.expires_at)),
        ("Unique key", job.unique_key or ""),
        ("Worker", job.worker or ""),
        ("Runner", "" if holder is None else f"{holder.name or '?'} on {holder.host or '?'}, pid {holder.pid or '?'}"),
        ("Lease until", "" if holder is None else moment(holder.lease_until)),
        ("Error", job.error or ""),
        ("Headers", job.headers or ""),
        ("Payload", job.payload or ""),
        ("Result", job.result or ""),
    ]  # fmt: skip
    ends = [
        ("Ended", f"{moment(run.finished_at)} {run.state}, ran {_ran(run.started_at, run.finished_at)}")
        for run in job.runs
    ]
    return [(name, value) for name, value in found + ends if value]


def _ran(start: datetime, end: datetime) -> str:
    return duration(max(0.0, (end - start).total_seconds()))


@jobs.command()
@click.argument("ids", metavar="ID…", type=JOB_ID, nargs=-1, required=True)
@url_option
@json_option
def retry(*, ids: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Run jobs again now: dead ones, delayed ones, finished ones.

    A dead or finished job starts again with all its retries and without its unique key; a delayed one keeps its count.

    Exit codes: 0 all of them are ready, 1 some are not (unknown, or running now), 2 bad input, 3 server unreachable,
    4 not migrated.
    """
    _change(ids, url, lambda admin, job_id: admin.retry(job_id), as_json=as_json, fine=JobState.READY)


@jobs.command()
@click.argument("ids", metavar="ID…", type=JOB_ID, nargs=-1, required=True)
@url_option
@json_option
def cancel(*, ids: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Take unfinished jobs away; the handler of a running one is cut off.

    A cancelled job stays in the history and its unique key is free again. A handler that runs in a thread can't be cut
    off: it ends by itself, and its result is thrown away.

    Exit codes: 0 all of them are cancelled, 1 some are not (unknown, finished, dead), 2 bad input, 3 server
    unreachable, 4 not migrated.
    """
    _change(ids, url, lambda admin, job_id: admin.cancel(job_id), as_json=as_json, fine=JobState.CANCELLED)


def _change(
    ids: Sequence[int],
    url: str | None,
    act: Callable[[Administration, int], Awaitable[Change]],
    *,
    as_json: bool,
    fine: JobState,
) -> None:
    """``fine``: the state in which a job that was not changed is as it was asked to be."""

    async def work(admin: Administration) -> list[Change]:
        return [await act(admin, job_id) for job_id in dict.fromkeys(ids)]

    changes = administrate(url, work)
    failed = [it for it in changes if not it.changed and it.before is not fine]
    if as_json:
        print_json(changes)
    else:
        for change in changes:
            click.echo(f"job {change.id}: {change.note}", err=change in failed)
    if failed:
        raise click.exceptions.Exit(1)
