"""``workerpool doctor``: is the database, or the broker, in shape for the queue, and what to do when it is not."""

import asyncio

import click

from workerpool.cli.output import plain, print_json, printable
from workerpool.cli.target import json_option, queue_url, settings, url_option
from workerpool.engines import examine
from workerpool.redaction import redact
from workerpool.sources.checks import Check, Level

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@click.command(name="doctor")
@url_option
@json_option
def doctor(*, url: str | None, as_json: bool) -> None:
    """Examine the server of the queues: connection, version, privileges, what slows it down, queues without runners.

    One line per check: ok, warn or fail, with a cure below what is not ok. Changes nothing.

    Exit codes: 0 nothing failed (warnings included), 1 a check failed, 2 bad input.
    """
    with queue_url(url) as found:
        checks = asyncio.run(_examine(found, echo=not as_json))
    failed = any(it.level is Level.FAIL for it in checks)
    if as_json:
        print_json({"healthy": not failed, "checks": [plain(it) for it in checks]})
    if failed:
        raise click.exceptions.Exit(1)


async def _examine(url: str, *, echo: bool) -> list[Check]:
    done = []
    async for check in examine(url, settings()):
        done.append(check)
        if echo:
            _print(check)
    return done


def _print(check: Check) -> None:
    level = click.style(f"{check.level:<4}", fg=COLOURS[check.level])
    click.echo(f"{level}  {check.name:<14}{printable(redact(check.detail))}")
    if check.cure:
        click.echo(f"{'':6}{'':14}→ {printable(check.cure)}")
