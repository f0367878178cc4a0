"""Taking messages one by one: a message belongs to the channel that was asked for it."""

from typing import Any

import pytest
from aiormq.channel import Channel

from tests.integration.rabbitmq.sources import consumer, depth, publish
from tests.support.rabbitmq import Vhost
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Settlement

pytestmark = pytest.mark.rabbitmq


async def test_what_a_given_up_channel_answers_is_not_taken_for_the_next_one_s(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged there, its tag would be unknown, and the next channel would be lost too."""
    get = Channel.basic_get
    async with consumer(vhost) as worker:
        link = worker.source._must_parts().link
        await worker.source.claim({"orders": 1})
        await publish(vhost, "orders", b"1")

        async def given_up_meanwhile(channel: Channel, *args: Any, **kwargs: Any) -> Any:
            message = await get(channel, *args, **kwargs)
            if message.body:
                link.reset("while the broker answered")
            return message

        with monkeypatch.context() as patch:
            patch.setattr(Channel, "basic_get", given_up_meanwhile)
            with pytest.raises(SourceUnavailable, match="given up"):
                await worker.source.claim({"orders": 1})
        assert worker.source._must_parts().holding.unsettled["orders"] == 0
        job = await worker.soon()
        assert (job.payload, job.crashes) == ("1", 1)
        assert await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")]) == []
        assert link.epoch == 2
    assert await depth(vhost, "orders") == 0
