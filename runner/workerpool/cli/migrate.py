"""``workerpool migrate``: brings the database up to this release."""

import asyncio

import click

from workerpool.cli.output import note, print_json
from workerpool.cli.target import json_option, queue_url, url_option
from workerpool.engines import require_postgres
from workerpool.errors import ConfigError
from workerpool.sources.postgres import migrate as migrations
from workerpool_contract.urls import describe

EXIT_SCHEMA = 4


@click.command(name="migrate")
@click.option("--plan", is_flag=True, help="Print the SQL that would run; change nothing.")
@click.option("--check", is_flag=True, help="Only say whether the database is current.")
@url_option
@json_option
def migrate(*, plan: bool, check: bool, url: str | None, as_json: bool) -> None:
    """Create or update the tables and functions of the queue.

    Safe to repeat and to run from several places at once: each file runs in a transaction of its own under one lock,
    and gives up after five seconds rather than queue everybody behind it.

    Exit codes: 0 current (or migrated), 2 bad input, 3 the server can't be reached, 4 not current (with --check), or
    the database is newer than this release.
    """
    if plan and check:
        raise ConfigError("--plan and --check exclude each other; give one of them")
    with queue_url(url, create=True) as found:
        require_postgres(found, "RabbitMQ has no schema and nothing to migrate; see `workerpool topology plan`")
        before = asyncio.run(migrations.check(found) if plan or check else migrations.migrate(found))
        if before.unknown:
            migrations.require(before, found)
        if as_json:
            print_json(_as_json(before, done=not (plan or check)))
        elif plan:
            _print_plan(before)
        else:
            _print_state(before, describe(found), done=not check)
    if check and not before.current:
        raise click.exceptions.Exit(EXIT_SCHEMA)


def _print_plan(state: migrations.SchemaState) -> None:
    for each in state.pending:
        click.echo(f"-- {_file(each)}\n{each.sql}")
    if not state.pending:
        note("Nothing to do: the schema is current.")


def _print_state(state: migrations.SchemaState, place: str, *, done: bool) -> None:
    version = max((*state.applied, *(each.version for each in state.pending)), default=0)
    files = ", ".join(_file(each) for each in state.pending)
    if not files:
        click.echo(f"{place}: schema version {version} is current")
    elif done:
        click.echo(f"{place}: applied {files}; schema version {version} is current")
    else:
        click.echo(f"{place}: lacks {files}; run `workerpool migrate`")


def _as_json(state: migrations.SchemaState, *, done: bool) -> dict[str, object]:
    files = [_file(each) for each in state.pending]
    return {
        "applied": state.applied,
        "pending": [] if done else files,
        "ran": files if done else [],
        "current": done or state.current,
    }


def _file(migration: migrations.Migration) -> str:
    return f"{migration.version:04d}_{migration.name}.sql"
