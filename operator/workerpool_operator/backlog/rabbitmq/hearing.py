"""Listening to the runners of a vhost: their reports arrive in a queue of the operator's own."""

import contextlib
from collections.abc import Callable
from typing import Final

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPChannelError, ChannelAccessRefused

from workerpool_contract.rabbitmq import CONTROL, REPORTS
from workerpool_contract.runnerreport import Control, ReportError, RunnerReport, read_report
from workerpool_operator.backlog.rabbitmq.wire import Wire, reason_of

MOST: Final = 10_000
"""Reports that may wait at the broker while the operator is busy; the oldest go first."""


class Hearing:
    """A consumer of reports on one connection."""

    def __init__(self, take: Callable[[RunnerReport], None]) -> None:
        """``take`` gets every report, in the loop."""
        self.deaf = "not connected"
        self._take = take
        self._channel: AbstractChannel | None = None
        self._consuming = False

    async def start(self, wire: Wire) -> None:
        """Listens, unless it does already, and asks every runner for a report. A refusal is kept in ``deaf``.

        Raises AMQPError, OSError, RuntimeError for a connection that ends.
        """
        if self._channel is not None and not self._channel.is_closed and self._consuming:
            return
        self.stop()
        try:
            self._channel = channel = await _prepared(wire)
            declared = await channel.queue_declare(
                "", exclusive=True, auto_delete=True, arguments={"x-max-length": MOST}
            )
            queue = str(declared.queue)
            await channel.queue_bind(queue, REPORTS)
            channel.on_consumer_cancel_callbacks.add(self._cancelled)
            await channel.basic_consume(queue, self._arrived, no_ack=True)
            await channel.basic_publish(Control("report").to_json(), exchange=CONTROL, routing_key="")
        except AMQPChannelError as error:
            self.deaf = f"{reason_of(error)}; let the operator's user configure, write and read {REPORTS} and {CONTROL}"
            return
        self.deaf, self._consuming = "", True

    def stop(self) -> None:
        """Forgets the channel, which ends with its connection."""
        self.deaf = "not connected"
        self._channel, self._consuming = None, False

    def _cancelled(self, _: object) -> None:
        self._consuming = False

    async def _arrived(self, message: DeliveredMessage) -> None:
        # Whoever may publish to the exchange may write anything there.
        with contextlib.suppress(ReportError):
            self._take(read_report(message.body))


async def _prepared(wire: Wire) -> AbstractChannel:
    """A channel; what is heard and asked by exists, or this user may not declare it: then its use tells."""
    channel = await wire.channel()
    try:
        for exchange in (REPORTS, CONTROL):
            await channel.exchange_declare(exchange, exchange_type="fanout", durable=True)
    except ChannelAccessRefused:
        return await wire.channel()
    return channel
