"""Who gets a copy of what is sent to a topic, and ending that: a subscription outlives the worker that made it."""

from typing import Final

from workerpool.errors import ConfigError, SourceError
from workerpool.sources.administration import TopicQueue
from workerpool.sources.postgres.connection import Connection

LIVE: Final = "30 seconds"
"""A runner that has not reported for so long counts as gone."""

_ALL: Final = f"""
select s.topic, q.name as queue, coalesce(b.ready + b.in_flight + b.delayed, 0) as jobs,
       coalesce(b.oldest_age, 0) as age,
       exists (select from workerpool.runner r where q.name = any (r.queues)
               and r.seen_at > now() - interval '{LIVE}') as served
from workerpool.subscription s join workerpool.queue q on q.id = s.queue_id
left join workerpool.backlog(
  (select array_agg(distinct n.name) from workerpool.subscription m join workerpool.queue n on n.id = m.queue_id)
) b on b.queue = q.name
order by s.topic, q.name
"""

_REMOVE: Final = """
delete from workerpool.subscription s using workerpool.queue q
where q.id = s.queue_id and s.topic = $1 and q.name = $2 returning true
"""


async def subscriptions(connection: Connection) -> list[TopicQueue]:
    """All of them, by topic and queue."""
    return [
        TopicQueue(row["topic"], row["queue"], row["jobs"], row["age"], row["served"])
        for row in await connection.fetch(_ALL)
    ]


async def unsubscribe(connection: Connection, topic: str, queue: str) -> TopicQueue:
    """Ends one subscription and returns it as it was; the jobs in the queue stay.

    Raises ConfigError for an unknown one, SourceError while a live runner consumes the queue: it would miss messages.
    """
    known = await subscriptions(connection)
    found = next((it for it in known if (it.topic, it.queue) == (topic, queue)), None)
    if found is None:
        queues = ", ".join(it.queue for it in known if it.topic == topic) or "none"
        raise ConfigError(
            f"QUEUE: {queue!r} gets no copies of {topic!r}; subscribed queues: {queues}. See `workerpool topics list`"
        )
    if found.served:
        raise SourceError(
            f"{queue}: a runner consumes this queue; stop it first (a runner that vanished counts for {LIVE})"
        )
    await connection.fetchval(_REMOVE, topic, queue)
    return found
