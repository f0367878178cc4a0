"""``workerpool enqueue``: one job from the command line, or one per line of a file."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

import click

from workerpool.cli import ndjson
from workerpool.cli.output import Bar, bar, note, print_json
from workerpool.cli.target import json_option, queue_url, settings, url_option
from workerpool.engines import EngineOptions, open_publisher
from workerpool.errors import ConfigError, PayloadError
from workerpool.producer import check_queue, make_job
from workerpool.sources.base import Enqueued, NewJob

CHUNK = 2_000
"""Jobs per statement."""
SPOOL = 16 * 1024 * 1024
"""Bytes of stdin that are kept in memory; more goes to a temporary file."""


@click.command(name="enqueue")
@click.argument("queue")
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--file", "-f", "source", metavar="FILE", help="One JSON value per line (NDJSON); - reads stdin.")
@click.option("--priority", type=int, default=0, help="-100 to 100; higher runs first. Default 0.")
@click.option("--delay", type=float, default=0.0, metavar="SECONDS", help="Run no earlier than this.")
@click.option("--expires-in", type=float, metavar="SECONDS", help="Don't start it later than this.")
@click.option("--unique-key", metavar="KEY", help="Add nothing while an unfinished job of the queue has this key.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header of the job; several allowed.")
@click.option("--max-payload", type=click.IntRange(1), metavar="BYTES", help="Largest payload. Default 1048576.")
@click.option("--skip-invalid", is_flag=True, help="With --file: leave bad lines out instead of refusing the file.")
@url_option
@json_option
def enqueue(  # noqa: PLR0913 - one parameter per option
    queue: str, payload: str | None, *, source: str | None, priority: int, delay: float, expires_in: float | None,
    unique_key: str | None, headers: tuple[str, ...], max_payload: int | None, skip_invalid: bool, url: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Put jobs on QUEUE: one JSON value, or one per line of a file.

    A name that workers subscribed to as a topic gives each group a copy. A JSON of - is short for --file -.

    A file is checked from end to end before anything is sent, then sent in one transaction: all of its jobs or none
    (RabbitMQ has no transactions: an error then says how many jobs are there). Bad lines are reported as file:line.
    Prints the id of a single job, or the number of jobs from a file.

    Exit codes: 0 enqueued, 2 bad input (nothing was enqueued), 3 server unreachable, 4 not migrated.
    """
    if payload == "-" and source is None:
        payload, source = None, "-"
    if (payload is None) == (source is None):
        raise ConfigError("what should be enqueued? Give one JSON value, or --file FILE, or --file - for stdin")
    if source is not None and unique_key is not None:
        raise ConfigError("--unique-key: all lines of a file would get the same key, so only one would be added")
    check_queue(queue)
    limit = max_payload or settings().max_payload
    template = make_job(
        "null", priority=priority, delay=delay, expires_in=expires_in, unique_key=unique_key, headers=_headers(headers)
    )
    if payload is not None:
        try:
            job = replace(template, payload=ndjson.checked(payload.encode(errors="surrogateescape"), limit))
        except PayloadError as error:
            raise PayloadError(f"payload: {error}; for example '{{\"id\": 1}}'") from None
        _one(url, queue, job, as_json=as_json)
        return
    assert source is not None
    with _opened(source) as (file, name, size):
        skipped = _inspect(file, name, size, limit, skip_invalid=skip_invalid)
        _many(url, queue, _Load(file, size, limit, template), skipped, as_json=as_json)


class _Load:
    """A checked file, ready to be read once more as jobs."""

    def __init__(self, file: IO[bytes], size: int, limit: int, template: NewJob) -> None:
        self.size = size
        self._file, self._limit, self._template = file, limit, template

    def chunks(self, progress: Bar) -> Iterator[Sequence[NewJob]]:
        """The sound lines as jobs, ``CHUNK`` at a time."""
        self._file.seek(0)
        lines = (line for line in ndjson.read(self._file, self._limit) if line.text is not None)
        while chunk := tuple(islice(lines, CHUNK)):
            yield [replace(self._template, payload=line.text or "") for line in chunk]
            progress.advance(sum(line.size for line in chunk))


def _headers(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--header: {word!r} is not NAME=VALUE; for example --header tenant=acme")
        found[key.strip()] = value
    return found


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], str, int]]:
    """The file to read twice, its name for messages and its size in bytes. Stdin is kept in a temporary file."""
    if source == "-":
        with tempfile.SpooledTemporaryFile(max_size=SPOOL) as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            yield spool, "stdin", spool.tell()
        return
    path = Path(source)
    try:
        with path.open("rb") as file:
            yield file, source, path.stat().st_size
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigError(f"--file: {source}: {error.strerror}; name a file that can be read") from None


def _inspect(file: IO[bytes], name: str, size: int, limit: int, *, skip_invalid: bool) -> int:
    """Reads the file once; returns how many lines are to be left out. Raises PayloadError when none may be."""
    file.seek(0)
    with bar("Checking", size, in_bytes=True) as progress:
        faults = ndjson.inspect(_told(ndjson.read(file, limit), progress), name)
    for message in faults.messages:
        note(message)
    if faults.bad > len(faults.messages):
        note(f"… and {faults.bad - len(faults.messages)} more")
    if faults.bad and not skip_invalid:
        raise PayloadError(
            f"{name}: {faults.bad} of {faults.lines} lines are bad, nothing was enqueued; correct them, "
            "or pass --skip-invalid to leave them out"
        )
    return faults.bad


def _told(lines: Iterator[ndjson.Line], progress: Bar) -> Iterator[ndjson.Line]:
    for line in lines:
        progress.advance(line.size)
        yield line


def _one(url: str | None, queue: str, job: NewJob, *, as_json: bool) -> None:
    with queue_url(url, create=True) as found:
        added = asyncio.run(_send(found, queue, job))
    if as_json:
        print_json({"queue": queue, "id": added.id, "duplicate": added.duplicate})
        return
    click.echo(str(added.id))
    if added.duplicate:
        note("Nothing was added: an unfinished job has this unique key, and this is its id.")


async def _send(url: str, queue: str, job: NewJob) -> Enqueued:
    publisher = open_publisher(url, EngineOptions.of(settings()))
    try:
        return (await publisher.enqueue(queue, [job]))[0]
    finally:
        await publisher.close()


def _many(url: str | None, queue: str, load: _Load, skipped: int, *, as_json: bool) -> None:
    with queue_url(url, create=True) as found, bar("Enqueueing", load.size, in_bytes=True) as progress:
        added = asyncio.run(_send_all(found, queue, load.chunks(progress)))
    if as_json:
        print_json({"queue": queue, "enqueued": added, "skipped": skipped})
        return
    click.echo(f"{added} jobs enqueued on {queue}" if added != 1 else f"1 job enqueued on {queue}")
    if skipped:
        note(f"{skipped} bad lines left out")


async def _send_all(url: str, queue: str, chunks: Iterator[Sequence[NewJob]]) -> int:
    publisher = open_publisher(url, EngineOptions.of(settings()))
    try:
        return await publisher.enqueue_chunks(queue, chunks)
    finally:
        await publisher.close()
