"""How often a message of a queue may be given back: beyond a delivery limit the broker takes it out of the queue."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.management import management
from workerpool.sources.rabbitmq.parts import rehome_at
from workerpool.sources.rabbitmq.returning import FREE_RETURNS
from workerpool_contract.rabbitmq import DELIVERY_LIMIT

LIMITED: Final = (4, 0, 0)
"""From this version on a quorum queue has a limit of its own."""
COLUMNS: Final = "type,arguments,effective_policy_definition"


class Limits:
    """Of the queues of a virtual host, as the management API at ``url`` tells them: over AMQP a broker doesn't."""

    def __init__(self, link: Link, url: str | None) -> None:
        """Asks nothing yet."""
        self._link = link
        self._url = url
        self._found: dict[str, int | None] = {}
        self._failure: str | None = None

    @property
    def counted(self) -> bool:
        """Whether the broker counts what is given back as a delivery in vain."""
        return self._link.version < FREE_RETURNS

    @property
    def near(self) -> int:
        """Deliveries from which on ``mark`` is worth asking for: a runner's mark, which knows of no other limit."""
        return rehome_at(self._link.endpoint.delivery_limit)

    async def mark(self, name: str, unknown: int) -> int | None:
        """How many deliveries of a message a look must not reach: half of the limit; None for any number.

        ``unknown``: where nobody tells the limit.
        """
        try:
            limit = await self._limit(name)
        except (SourceUnavailable, ConfigError):
            return unknown
        return None if limit is None else max(1, limit // 2)

    async def require_free(self, name: str) -> None:
        """Raises ConfigError unless a foreign queue may be looked at any number of times.

        The count of a message is seen only by a delivery that adds to it, so nobody could stop in time.
        """
        if not self.counted:
            return
        why = f"queue: {name!r} is not one of WorkerPool's, and RabbitMQ {self._link.version_text} counts each look"
        cure = "let a runner consume it first, or upgrade to RabbitMQ 4.3, where looks are free"
        try:
            limit = await self._limit(name)
        except (SourceUnavailable, ConfigError) as error:
            raise ConfigError(
                f"{why} as a delivery; whether it has a delivery limit is not known ({error}): set "
                f"WORKERPOOL_RABBITMQ_MANAGEMENT_URL, {cure}"
            ) from None
        if limit is not None:
            raise ConfigError(
                f"{why} as one of the {limit} deliveries after which it takes a message out of this queue "
                f"(x-delivery-limit): {cure}"
            )

    async def _limit(self, name: str) -> int | None:
        """The limit, None where there is none. Raises SourceUnavailable, ConfigError when it isn't told."""
        if self._failure is not None:
            # To find out once more may take seconds.
            raise SourceUnavailable(self._failure)
        if name not in self._found:
            try:
                api = management(self._link.endpoint, self._url)
                said = await api.get(f"queues/{{}}/{quote(name, safe='')}?columns={COLUMNS}")
            except (SourceUnavailable, ConfigError) as error:
                self._failure = str(error)
                raise
            self._found[name] = limit_of(said, self._link.version)
        return self._found[name]


def limit_of(said: Mapping[str, Any], version: tuple[int, int, int]) -> int | None:
    """The delivery limit of a queue as the API describes it, None where there is none."""
    if said.get("type") != "quorum":
        return None
    policy = said.get("effective_policy_definition") or {}
    limits = [it for it in (said["arguments"].get("x-delivery-limit"), policy.get("delivery-limit")) if it is not None]
    if not limits:
        return DELIVERY_LIMIT if version >= LIMITED else None
    return min((it for it in limits if it >= 0), default=None)
