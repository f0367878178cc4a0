"""Backlogs of the queues of one vhost: one connection, one listing, for all pools.

Every failure becomes an `Unknown` with a reason fit for a status: the server, never the credentials.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from workerpool_contract.amqp import amqp_parts
from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_contract.rabbitmq import WAITING, dead, lanes
from workerpool_operator.backlog.rabbitmq.asking import Asking
from workerpool_operator.backlog.rabbitmq.merge import Answer, Missing, Witnesses, acknowledged, reading_of
from workerpool_operator.backlog.rabbitmq.pages import Pages, Seen
from workerpool_operator.backlog.rabbitmq.reports import Report, Reports
from workerpool_operator.backlog.rabbitmq.totals import Totals
from workerpool_operator.backlog.reader import Reader, Signals
from workerpool_operator.backlog.watch import LEAST_CAP, Endpoint

PATIENCE = 1.0
"""Seconds that a reading waits for a listing while the queues themselves can be asked."""


class RabbitmqBacklog:
    """Reads the backlogs of one vhost. Use it from one task at a time."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        on_loss: Callable[[], None] = lambda: None,
        timeout: float = 5.0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects nowhere yet. ``on_loss``: told when the connection ends by itself between two readings.

        ``timeout``: seconds for one answer. Raises ValueError for an address that can't be read.
        """
        parts = amqp_parts(endpoint.url)
        self.cap = LEAST_CAP
        self._steady = steady
        self._timeout = timeout
        self._reports = Reports()
        self._totals = Totals()
        self._pages = Pages(endpoint, parts, timeout=timeout, steady=steady)
        self._asking = Asking(
            parts, endpoint.authority, report=self._heard, lost=on_loss, timeout=timeout, steady=steady
        )
        self._asking.origin = endpoint.origin

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """One reading per queue."""
        answers, seen = await self._ask(queues)
        now = self._steady()
        fresh = None if self._asking.deaf else self._reports.fresh(now)
        heard = Witnesses(
            broker=self._asking.broker,
            answers=answers,
            listing=seen.listing,
            listed=now - seen.at,
            reports=fresh,
            peaks={queue: self._reports.peak(queue, now) for queue in queues},
        )
        return {queue: self._with_totals(queue, reading_of(queue, heard), heard) for queue in queues}

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        """The runner processes of each queue, as far as they report."""
        if self._asking.deaf:
            return Unknown(f"runners are not heard: {self._asking.deaf}")
        now = self._steady()
        return {queue: self._reports.runners(queue, now) for queue in queues}

    async def close(self) -> None:
        """Closes the connection and ends what is under way."""
        await asyncio.gather(self._asking.close(), self._pages.close())

    async def _ask(self, queues: list[str]) -> tuple[dict[str, Answer] | Unknown, Seen]:
        """Both at once: a page that takes long must not make the queues' own answers old."""
        self._pages.begin()
        always, names = frozenset(queues), _names(queues)
        # Asking for a queue that does not exist costs a channel each time.
        lacking = self._pages.lacks(names) - always
        known = await self._asking.answers([name for name in names if name not in lacking], always=always)
        if not isinstance(known, Unknown):
            known |= dict.fromkeys(lacking, Missing())
        later = 2 * self._timeout if isinstance(known, Unknown) else 0.0
        return known, await self._pages.newest(at_first=max(PATIENCE, later), later=later)

    def _heard(self, report: Report) -> None:
        self._reports.take(report, self._steady())

    def _with_totals(self, queue: str, reading: Reading, heard: Witnesses) -> Reading:
        if not isinstance(reading, Backlog):
            return reading
        reported = self._reports.attempts(queue)
        alone = bool(heard.reports is not None and heard.reports.get(queue))
        completed, failed = self._totals.add(queue, reported, acknowledged(queue, heard.listing), reporting=alone)
        return replace(reading, completed=completed, failed=failed)


class Unusable:
    """The reader of an endpoint that can't be read at all: every reading says why."""

    def __init__(self, reason: str) -> None:
        """``reason``: what is wrong, and the cure; no secrets."""
        self.cap = LEAST_CAP
        self._unknown = Unknown(reason)

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """Why."""
        return dict.fromkeys(queues, self._unknown)

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        """Why."""
        return self._unknown

    async def close(self) -> None:
        """Nothing to close."""


def open_rabbitmq(endpoint: Endpoint, signals: Signals) -> Reader:
    """The reader of a RabbitMQ endpoint, for the hub."""
    try:
        return RabbitmqBacklog(endpoint, on_loss=signals.lost)
    except ValueError as error:
        return Unusable(f"an address in spec.source.rabbitmq or its Secrets {error}")


def _names(queues: list[str]) -> list[str]:
    names = [name for queue in queues for name in (*lanes(queue), dead(queue))]
    return list(dict.fromkeys([*names, *WAITING]))
