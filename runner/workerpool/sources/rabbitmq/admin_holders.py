"""Asking the runners of a virtual host to give up jobs."""

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from workerpool.sources.rabbitmq.declare import exists
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.topology import Exchange
from workerpool_contract.rabbitmq import CONTROL
from workerpool_contract.runnerreport import Control

ANSWER: Final = 15.0
"""Seconds that runners may take to answer; every one does, so only those that hang are waited for so long."""
LAST_ANSWER: Final = 3.0
"""Seconds after an answer until nobody else is waited for. Who holds a job answers after its end is in the history."""


async def cancel_held(link: Link, sender: Sender, ids: Collection[int]) -> list[int]:
    """Cancels the jobs of these ids that runners hold; returns those that one of them held.

    Raises SourceUnavailable, SourceError.
    """
    if not await _is_heard(link, sender):
        return []
    async with link.scratch() as channel:
        answers: asyncio.Queue[list[int]] = asyncio.Queue()

        async def take(message: DeliveredMessage) -> None:
            answers.put_nowait(_ids(message.body))

        declared = await channel.queue_declare("", exclusive=True, auto_delete=True)
        queue = declared.queue or ""
        await channel.basic_consume(queue, take, no_ack=True)
        properties = Basic.Properties(reply_to=queue, correlation_id=uuid4().hex, content_type="application/json")
        await channel.basic_publish(Control("cancel", tuple(ids)).to_json(), exchange=CONTROL, properties=properties)
        found: list[int] = []
        patience = ANSWER
        with suppress(TimeoutError):
            while not found:
                async with asyncio.timeout(patience):
                    found = await answers.get()
                patience = LAST_ANSWER
        return found


async def _is_heard(link: Link, sender: Sender) -> bool:
    """Whether any runner listens; asking costs each of them a report."""
    if not await exists(link, Exchange(CONTROL, "fanout")):
        return False
    question = Outgoing(CONTROL, "", Control("report").to_json(), {}, persistent=False)
    return await sender.outcomes([question]) != [Fate.RETURNED]


def _ids(body: bytes) -> list[int]:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return []
    found = answer.get("ids") if isinstance(answer, dict) else None
    return [it for it in found if isinstance(it, int)] if isinstance(found, list) else []
