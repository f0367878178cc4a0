"""``workerpool topology``: what a broker lacks for the queues, like a diff, and declaring it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import click

from workerpool.cli.output import note, print_json
from workerpool.cli.target import json_option, queue_url, settings, url_option
from workerpool.engines import is_broker
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.rabbitmq import topology as wanted
from workerpool.sources.rabbitmq.declare import declare, require_name, require_release
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.inspection import listing, probe
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.management import management
from workerpool.sources.rabbitmq.topologyplan import Change, State, compare, cures, lines, meanings, summary
from workerpool_contract.amqp import EXAMPLE

COLOURS = {State.MISSING: "green", State.DIFFERENT: "yellow", State.UNSEEN: "cyan", State.SAME: None}

MANAGEMENT = "the management API"
AMQP = "AMQP"

MISSING, DIFFERENT = 1, 5
"""Exit codes. The other ones of the command line are documented with it."""

queues_argument = click.argument("queues", nargs=-1, metavar="[QUEUE]...")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: where, how it was looked at, and each thing."""

    server: str
    version: str
    read_by: str
    vhost: str
    changes: Sequence[Change]

    def in_state(self, *states: State) -> bool:
        """Whether anything is in one of ``states``."""
        return any(change.state in states for change in self.changes)


@click.group(name="topology")
def topology() -> None:
    """Show what RabbitMQ lacks for the queues, like a diff; declare it."""


@topology.command()
@queues_argument
@url_option
@json_option
def plan(*, queues: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Show what is missing (+) or has other arguments (~) on the broker, for each QUEUE and what all queues share.

    Without a QUEUE, the one of WORKERPOOL_QUEUE. A worker's queue is called as its topic, or TOPIC@GROUP. Changes
    nothing. Reads the management API (WORKERPOOL_RABBITMQ_MANAGEMENT_URL, or the usual port); when that can't be
    reached it asks over AMQP, which shows no bindings, and what a policy sets as not set.

    Exit codes: 0 all is as it should be, 1 something is missing, 2 bad input, 3 server unreachable, 5 nothing is
    missing but something has other arguments, and is used as it is.
    """
    found = _with_broker(url, queues, change=False)
    _print(found, as_json=as_json)
    if found.in_state(State.MISSING):
        raise click.exceptions.Exit(MISSING)
    if found.in_state(State.DIFFERENT):
        raise click.exceptions.Exit(DIFFERENT)


@topology.command()
@queues_argument
@url_option
@json_option
def apply(*, queues: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Declare what is missing on the broker for each QUEUE, as `workerpool topology plan` shows it.

    What has other arguments is a warning and used as it is: arguments of a queue can't be changed, and nothing is ever
    deleted. Safe to repeat. Runners and publishers declare the same when they start, where their user may.

    Exit codes: 0 nothing is missing any more, 1 something is missing still, 2 bad input, 3 server unreachable.
    """
    found = _with_broker(url, queues, change=True)
    _print(found, as_json=as_json)
    different = [str(it) for it in found.changes if it.state is State.DIFFERENT]
    if different:
        note(f"used as it is, with other arguments: {', '.join(different)}")
    if found.in_state(State.MISSING):
        raise click.exceptions.Exit(MISSING)


def _with_broker(url: str | None, queues: tuple[str, ...], *, change: bool) -> Report:
    found = settings()
    names = queues or ((found.queue,) if found.queue else ())
    for name in names:
        require_name(name)
    if url is None and found.effective_url is None:
        raise ConfigError(f"url: no broker is named; pass --url {EXAMPLE}, or set WORKERPOOL_URL")
    with queue_url(url) as target:
        if not is_broker(target):
            raise ConfigError("url: topology is a matter of RabbitMQ; for Postgres see `workerpool migrate --plan`")
        endpoint = Endpoint(target, found.rabbitmq_ca_file, found.rabbitmq_delivery_limit)
        return asyncio.run(_work(endpoint, found.rabbitmq_management_url, names, change=change))


async def _work(endpoint: Endpoint, api: str | None, names: Sequence[str], *, change: bool) -> Report:
    link = Link(endpoint, name="workerpool topology")
    await link.open()
    try:
        require_release(link)
        things = wanted.everything(names, endpoint.delivery_limit, link.version)
        warnings = await declare(link, things) if change else []
        read_by, changes = await _look(link, api, things)
        if change and read_by == AMQP:
            changes = [_made_sure(it, warnings) for it in changes]
        return Report(endpoint.shown, link.version_text, read_by, endpoint.parts.vhost, changes)
    finally:
        await link.close()


async def _look(link: Link, api: str | None, things: Sequence[wanted.Thing]) -> tuple[str, list[Change]]:
    try:
        return MANAGEMENT, compare(things, await listing(management(link.endpoint, api)))
    except SourceUnavailable as error:
        note(f"{error}; asking over AMQP")
        return AMQP, await probe(link, things)


def _made_sure(change: Change, warnings: Sequence[str]) -> Change:
    """What AMQP can't see was declared just now, unless a warning says otherwise."""
    said = [warning for warning in warnings if warning.startswith(str(change))]
    if change.state is not State.UNSEEN:
        return change
    for warning in said:
        note(warning)
    return change if said else Change(change.thing, State.SAME)


def _print(found: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(found))
        return
    click.echo(f"{found.server}, version {found.version}, seen by {found.read_by}")
    for change in found.changes:
        first, *rest = lines(change, found.vhost) or [""]
        if first:
            click.echo("\n".join([click.style(first, fg=COLOURS[change.state]), *rest]))
    click.echo(summary(found.changes))


def _as_json(found: Report) -> dict[str, object]:
    return {
        "server": found.server,
        "version": found.version,
        "readBy": found.read_by,
        "things": [
            {
                "thing": str(it),
                "state": it.state.name.lower(),
                "differences": it.differences,
                "meanings": meanings(it),
                "cures": cures(it, found.vhost),
            }
            for it in found.changes
        ],
    }
