"""``workerpool dlq``: dead letters, why they died, and what becomes of them."""

import sys
from dataclasses import replace

import click

from workerpool.cli.jobs import JOB_ID, limit_option
from workerpool.cli.output import bar, moment, note, plain, print_json, print_table, printable, shortened
from workerpool.cli.target import administrate, json_option, url_option
from workerpool.errors import ConfigError, WorkerPoolError
from workerpool.outcome import DeadReason
from workerpool.sources.administration import Administration, DeadFilter, DeadJob
from workerpool_contract.job import DeadLetterBody

reason_option = click.option(
    "--reason", type=click.Choice([str(it) for it in DeadReason]), help="Only those that died of this."
)
queue_option = click.option("--queue", metavar="QUEUE", help="The queue, when its name is a number.")
every_option = click.option("--all", "everything", is_flag=True, help="Those of all queues.")
some_option = click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest first.")
targets_argument = click.argument("targets", metavar="[QUEUE | ID…]", nargs=-1)


@click.group(name="dlq")
def dlq() -> None:
    """Look at dead letters, redrive them, drop them."""


@dlq.command(name="list")
@click.argument("queue", required=False)
@reason_option
@limit_option
@url_option
@json_option
def list_(*, queue: str | None, reason: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List dead letters, newest first.

    Exit codes: 0 listed (also when there is none), 2 bad input or unknown queue, 3 server unreachable, 4 not migrated.
    """
    found = administrate(url, lambda admin: admin.dead(DeadFilter(queue, reason=reason, limit=limit)))
    if as_json:
        print_json([_as_json(it) for it in found])
    elif found:
        columns = ("ID", "QUEUE", "DIED", "REASON", "RETRIES", "WORKER", "FORWARDED TO", "ERROR")
        print_table(columns, [_line(it) for it in found])
    else:
        click.echo("No dead letters.")


def _line(it: DeadJob) -> tuple[object, ...]:
    error = shortened(it.error.partition("\n")[0])
    return (it.id, it.queue, moment(it.died_at), it.reason, it.retries, it.worker, it.forwarded_to or "", error)


@dlq.command()
@click.argument("job_id", metavar="ID", type=JOB_ID)
@url_option
@json_option
def show(*, job_id: int, url: str | None, as_json: bool) -> None:
    """Show one dead letter with its payload and its whole error.

    Exit codes: 0 shown, 1 no such dead letter, 2 bad input, 3 server unreachable, 4 not migrated.
    """
    found = administrate(url, lambda admin: admin.dead(DeadFilter(ids=(job_id,), limit=1)))
    if not found:
        raise WorkerPoolError(f"job {job_id}: there is no such dead letter; see `workerpool jobs show {job_id}`")
    it = found[0]
    if as_json:
        print_json(_as_json(it))
        return
    facts = {
        "Job": str(it.id), "Queue": it.queue, "Died": f"{moment(it.died_at)} ({it.reason})", "Worker": it.worker or "-",
        "Retries": f"{it.retries}, {it.crashes} crashes", "Enqueued": moment(it.enqueued_at),
        "Forwarded to": it.forwarded_to or "-", "Headers": it.headers or "-", "Payload": it.payload,
    }  # fmt: skip
    for name, value in facts.items():
        click.echo(f"{name + ':':<14}{printable(value)}")
    click.echo("Error:")
    for line in it.error.splitlines():
        click.echo(f"  {printable(line)}")


def _as_json(it: DeadJob) -> dict[str, object]:
    """The row, and the body that a dead-letter topic gets, under ``body``."""
    row: dict[str, object] = plain(it)
    original = row.pop("payload")
    body = DeadLetterBody(original=original, error=it.error, worker=it.worker or "", retries=it.retries)
    return row | {"body": body.model_dump(mode="json")}


@dlq.command()
@targets_argument
@queue_option
@every_option
@reason_option
@some_option
@click.option("--forwarded", is_flag=True, help="Also those that a dead-letter topic got a copy of.")
@url_option
@json_option
def redrive(  # noqa: PLR0913 - one parameter per option
    *, targets: tuple[str, ...], queue: str | None, everything: bool, reason: str | None, limit: int | None,
    forwarded: bool, url: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run dead letters again: those of a QUEUE, some IDs, or --all.

    A redriven job keeps its id, payload, headers and priority; attempts and crashes start at 0. Without --forwarded
    those of a queue with a dead-letter topic stay, because whoever reads that topic has them already.

    Exit codes: 0 done (also when none matched), 1 an ID is no dead letter, 2 bad input or unknown queue, 3 server
    unreachable, 4 not migrated.
    """
    wanted = replace(_wanted(targets, queue, everything=everything), reason=reason, limit=limit)
    wanted = replace(wanted, forwarded=forwarded or bool(wanted.ids))

    async def work(admin: Administration) -> int:
        with bar("Redriving", await admin.dead_count(wanted)) as progress:
            return await admin.redrive(wanted, progress.advance)

    _report("redriven", administrate(url, work), wanted, as_json=as_json)


@dlq.command()
@targets_argument
@queue_option
@every_option
@reason_option
@some_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@url_option
@json_option
def drop(  # noqa: PLR0913 - one parameter per option
    *, targets: tuple[str, ...], queue: str | None, everything: bool, reason: str | None, limit: int | None,
    yes: bool, url: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Delete dead letters for good: those of a QUEUE, some IDs, or --all.

    Exit codes: 0 done (also when none matched), 1 an ID is no dead letter, or the question was answered with no, 2 bad
    input or unknown queue, 3 server unreachable, 4 not migrated.
    """
    wanted = replace(_wanted(targets, queue, everything=everything), reason=reason, limit=limit)

    async def work(admin: Administration) -> int:
        matching = await admin.dead_count(wanted)
        if matching and not yes:
            _ask(matching)
        with bar("Dropping", matching) as progress:
            return await admin.drop(wanted, progress.advance)

    _report("dropped", administrate(url, work), wanted, as_json=as_json)


def _wanted(targets: tuple[str, ...], queue: str | None, *, everything: bool) -> DeadFilter:
    """Exactly one of: a queue, ids, everything. Raises ConfigError."""
    numbers = bool(targets) and all(it.isdecimal() for it in targets)
    if bool(targets) + bool(queue) + everything != 1:
        raise ConfigError("which dead letters? Give a QUEUE, or IDs, or --all, and only one of these")
    if everything:
        return DeadFilter()
    if numbers:
        if any(not 0 < int(it) < 2**63 for it in targets):
            raise ConfigError("ID: job ids are whole numbers from 1; see `workerpool dlq list`")
        return DeadFilter(ids=tuple(dict.fromkeys(int(it) for it in targets)))
    if len(targets) > 1:
        raise ConfigError(f"QUEUE: one queue at a time, or only IDs; got {', '.join(targets)}")
    return DeadFilter(queue or targets[0])


def _ask(matching: int) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"{matching} dead letters would be deleted and nobody can be asked here; pass --yes")
    if not click.confirm(f"Delete {matching} dead letters for good?", err=True):
        note("Nothing was dropped.")
        raise click.exceptions.Exit(1)


def _report(verb: str, done: int, wanted: DeadFilter, *, as_json: bool) -> None:
    missing = max(0, min(len(wanted.ids), wanted.limit or len(wanted.ids)) - done)
    if as_json:
        print_json({verb: done, "missing": missing})
    else:
        click.echo(f"{done} dead letters {verb}" if done != 1 else f"1 dead letter {verb}")
        if missing:
            note(f"{missing} of the IDs are no dead letters; see `workerpool jobs show ID`")
    if missing:
        raise click.exceptions.Exit(1)
