"""How long a broker lets a message be held before it ends the channel: what to say before and after. Pure.

The limit is the broker's ``consumer_timeout``, or from 3.12 on that of a queue. A client is told neither, so that what
is compared is the default.
"""

import re
from typing import Final

from workerpool.sources.rabbitmq.topology import Version

DEFAULT: Final = 1800.0
"""Seconds that a message may be held unless somebody configured the broker."""
SPARE: Final = 600.0
"""Seconds beyond the job timeout that are enough: a job may wait for a slot before it runs, and is settled after."""
PER_QUEUE: Final = (3, 12, 0)
"""From this version on a queue may have a limit of its own, also by a policy."""

_TIMED_OUT: Final = re.compile(r"delivery acknowledgement on channel \d+ timed out(?:.*?: (\d+) ms)?", re.DOTALL)


def too_long(job_timeout: float | None, version: Version) -> str | None:
    """A warning when jobs may run longer than an unconfigured broker allows. ``job_timeout``: None: unknown."""
    if job_timeout is None or job_timeout < DEFAULT:
        return None
    return (
        f"the job timeout of {job_timeout:g} s is not below {DEFAULT:g} s, after which RabbitMQ takes a job away "
        f"unless it is configured otherwise, and with it all others of this runner; {_cure(job_timeout, version)}"
    )


def timed_out(why: str, job_timeout: float | None, version: Version) -> str:
    """Why a channel ended, in words that help if it was because of this limit; else unchanged."""
    found = _TIMED_OUT.search(why)
    if found is None:
        return why
    limit = f" of {int(found[1]) / 1000:g} s" if found[1] else ""
    ours = "" if job_timeout is None else f" (the job timeout is {job_timeout:g} s)"
    return (
        f"a job was held longer than the broker's consumer timeout{limit}, which ended the channel"
        f"{ours}; {_cure(job_timeout, version)}"
    )


def _cure(job_timeout: float | None, version: Version) -> str:
    needed = round(((job_timeout or DEFAULT) + SPARE) * 1000)
    policy = f", or a policy with `consumer-timeout: {needed}` on the queue" if version >= PER_QUEUE else ""
    return (
        "let jobs end sooner (WORKERPOOL_JOB_TIMEOUT, jobTimeoutSeconds, timeout= of the worker), or let the broker "
        f"wait longer: `consumer_timeout = {needed}` in rabbitmq.conf{policy}"
    )
