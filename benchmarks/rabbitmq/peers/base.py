"""What the contenders' programs share: the two roles, and the handlers for both kinds of message."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import uvloop

from benchmarks.peers.spec import Spec, load
from benchmarks.rabbitmq.board import Board
from benchmarks.rabbitmq.sessions import key

Message = dict[str, Any]
POOL = 50
"""Connections to the S3 server that a client may open."""


class AsyncPeer(Protocol):
    """A contender on an event loop."""

    async def setup(self, spec: Spec) -> None:
        """Declare the queue and send the first message by the contender's own producer."""

    async def work(self, spec: Spec, handle: Callable[[Message], Awaitable[None]], stop: asyncio.Event) -> None:
        """Run one worker until `stop` is set."""


def main(peer: AsyncPeer) -> None:
    """Do what the spec file named on the command line asks of `peer`, on uvloop."""
    spec = load(sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(peer.setup(spec) if spec.role == "setup" else _work(peer, spec))


async def _work(peer: AsyncPeer, spec: Spec) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with handler(spec) as handle:
        await peer.work(spec, handle, stop)


@asynccontextmanager
async def handler(spec: Spec) -> AsyncIterator[Callable[[Message], Awaitable[None]]]:
    """The async handler for the kind of message: counts the call, or stores the message as an object by aioboto3."""
    if spec.job != "archive":
        hit = open_board(spec).hit

        async def count(message: Message) -> None:
            hit(message["number"])

        yield count
        return
    import aioboto3

    async with aioboto3.Session().client("s3", **_s3(spec)) as client:

        async def store(message: Message) -> None:
            await client.put_object(**_object(spec, message))

        yield store


@contextmanager
def plain_handler(spec: Spec) -> Iterator[Callable[[Message], None]]:
    """The same for workers without an event loop, by boto3; any number of threads may call it."""
    if spec.job != "archive":
        hit = open_board(spec).hit
        yield lambda message: hit(message["number"])
        return
    import boto3

    client = boto3.client("s3", **_s3(spec))
    yield lambda message: client.put_object(**_object(spec, message))


def open_board(spec: Spec) -> Board:
    """The board of this run."""
    return Board(spec.options["board"], spec.jobs)


def _s3(spec: Spec) -> Message:
    """Arguments of an S3 client."""
    from botocore.config import Config

    server = spec.options["s3"]
    return {
        "endpoint_url": server["endpoint"],
        "region_name": server["region"],
        "aws_access_key_id": server["access_key"],
        "aws_secret_access_key": server["secret_key"],
        "config": Config(max_pool_connections=POOL, s3={"addressing_style": "path"}),
    }


def _object(spec: Spec, message: Message) -> Message:
    """Arguments of `put_object`."""
    return {
        "Bucket": spec.options["s3"]["bucket"],
        "Key": key(message),
        "Body": json.dumps(message).encode(),
        "ContentType": "application/json",
    }
