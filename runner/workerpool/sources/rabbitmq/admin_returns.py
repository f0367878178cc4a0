"""Giving back the jobs of a lane that somebody looked at, on a broker that counts that as a delivery in vain.

They keep their place. Only what comes near the delivery limit goes to the end of its lane instead, as a copy that was
never delivered, where the lane is this project's.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from workerpool.sources.rabbitmq.admin_desk import Desk, stable_id
from workerpool.sources.rabbitmq.browsing import Browser
from workerpool.sources.rabbitmq.crashes import charged, delivery_number, is_uncounted
from workerpool.sources.rabbitmq.declare import exists
from workerpool.sources.rabbitmq.envelope import UNREADABLE, Envelope, Invalid, headers_of, is_own
from workerpool.sources.rabbitmq.intake import MARKS_MARGIN
from workerpool.sources.rabbitmq.marks import Numbered, Question
from workerpool.sources.rabbitmq.messages import Arrival, job_of
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.topology import Queue
from workerpool_contract.rabbitmq import BROKER_HEADER_PREFIXES, MARKS, STREAMS

JSON = "application/json"


class _Looked(NamedTuple):
    """``number``: how often it was delivered before. ``known``: the delivery, of a message of this project."""

    arrival: Arrival
    number: int
    known: Numbered | None


async def give_back(desk: Desk, browser: Browser, held: Sequence[Arrival]) -> None:
    """Sees to it that these may go back when the browser is closed, and none is charged that is known.

    Raises SourceUnavailable, SourceError.
    """
    if not held or not desk.limits.counted:
        return
    looked = [_looked(it) for it in held]
    worn = await _worn(desk, browser, looked)
    forgiven = [it.known for it in looked if it.known is not None and it not in worn]
    if forgiven and await exists(desk.link, Queue(MARKS, STREAMS[MARKS])):
        await desk.marks.forgive(forgiven)
    if worn:
        await desk.replace(browser, await _copies(desk, worn))


def _looked(it: Arrival) -> _Looked:
    number = delivery_number(it.properties.headers, redelivered=it.redelivered)
    message_id = it.properties.message_id if is_own(it.properties) else None
    return _Looked(it, number, None if message_id is None else Numbered(it.lane, message_id, number))


async def _worn(desk: Desk, browser: Browser, looked: Sequence[_Looked]) -> list[_Looked]:
    """Those that come too near to the limit."""
    near = [it for it in looked if it.number + 1 >= desk.limits.near and not _is_classic(it)]
    if not near or not desk.is_ours(near[0].arrival.queue):
        return []
    mark = await desk.limits.mark(browser.name, desk.limits.near)
    return [] if mark is None else [it for it in near if it.number + 1 >= mark]


def _is_classic(it: _Looked) -> bool:
    return is_uncounted(it.arrival.properties.headers, redelivered=it.arrival.redelivered)


async def _copies(desk: Desk, worn: Sequence[_Looked]) -> list[tuple[Arrival, Outgoing]]:
    """The copy of each, with the crashes that a runner would charge it."""
    found = [(it, job_of(it.arrival, desk.wall(), partial(stable_id, it.arrival))) for it in worn]
    jobs = [(it, job.envelope if isinstance(job, Invalid) else job) for it, job in found if _may_be_copied(it, job)]
    known = [(it.known, job) for it, job in jobs if it.known is not None]
    crashes: dict[Numbered, int] = {}
    if known:
        since = max(0.0, min(job.enqueued for _, job in known) / 1000 - MARKS_MARGIN)
        answers = await desk.marks.judge([Question(it, job.crashes) for it, job in known], since)
        crashes = dict(zip((it for it, _ in known), answers, strict=True))
    copies = []
    for it, job in jobs:
        unknown = charged(job.crashes, it.number, frozenset(), frozenset())
        count = unknown if it.known is None else crashes[it.known]
        copies.append((it.arrival, _copy(it.arrival, job._replace(crashes=count))))
    return copies


def _may_be_copied(it: _Looked, job: Envelope | Invalid) -> bool:
    """Whether a copy would be the same to a runner: what says why a message can't be a job must be in it."""
    properties = it.arrival.properties
    return isinstance(job, Envelope) or (properties != UNREADABLE and not properties.content_encoding)


def _copy(it: Arrival, job: Envelope) -> Outgoing:
    """With the headers of other programs too, which may take it yet."""
    theirs = {
        name: value for name, value in it.properties.headers.items() if not name.startswith(BROKER_HEADER_PREFIXES)
    }
    kind = it.properties.content_type or JSON
    return Outgoing("", it.lane, it.body, theirs | headers_of(job), content_type=kind)
