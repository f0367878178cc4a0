"""Publishes sessions as an API would: JSON on a queue. It needs aio-pika and nothing of WorkerPool.

Usage: python producer.py [COUNT]; RABBITMQ_URL says where the broker is.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
from aio_pika.exceptions import PublishError

QUEUE = "raw_sessions"
URL = "amqp://archive:change-me@localhost:5672/"
USERS = 10
AT_ONCE = 200
"""Messages whose confirmation is awaited at the same time."""


def session(number: int) -> dict[str, object]:
    """A recorded session, the two fields that name its object included."""
    return {
        "user_id": f"user_{number % USERS}",
        "session_uuid": str(uuid4()),
        "timestamp": datetime.now(UTC).isoformat(),
        "events": [{"type": "click", "x": number, "y": step} for step in range(20)],
    }


async def publish(url: str, count: int) -> None:
    """Publishes ``count`` sessions; when it returns, the broker has them all. Raises PublishError without the queue."""
    async with await aio_pika.connect(url) as connection:
        # Without on_return_raises a message for a queue that isn't there is lost in silence.
        channel = await connection.channel(on_return_raises=True)
        free = asyncio.Semaphore(AT_ONCE)

        async def send(number: int) -> None:
            body = json.dumps(session(number)).encode()
            message = aio_pika.Message(body, content_type="application/json", delivery_mode=2)
            async with free:
                await channel.default_exchange.publish(message, QUEUE)

        await asyncio.gather(*(send(number) for number in range(count)))


def main() -> None:
    """Publishes as many sessions as the command line says, 100 by default."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    try:
        asyncio.run(publish(os.environ.get("RABBITMQ_URL", URL), count))
    except PublishError:
        sys.exit(f"no queue {QUEUE} on the broker; make it: workerpool topology apply {QUEUE}")
    print(f"published {count} sessions to {QUEUE}")


if __name__ == "__main__":
    main()
