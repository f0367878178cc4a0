"""Celery on RabbitMQ: one task on a quorum queue, acknowledged late, without results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Queue

from benchmarks.peers.spec import Spec, load
from benchmarks.rabbitmq.peers.base import Message, plain_handler
from benchmarks.rabbitmq.sessions import QUEUE, first_message


def main() -> None:
    """Do what the spec file named on the command line asks; options: pool, concurrency, multiplier."""
    spec = load(sys.argv[1])
    if spec.role == "setup":
        app = _app(spec, lambda _: None)
        app.tasks["bench"].delay(first_message(spec.job))
        return
    with plain_handler(spec) as handle:
        app = _app(spec, handle)
        options = spec.options
        worker = app.Worker(
            pool=options["pool"],
            concurrency=options["concurrency"],
            without_gossip=True,
            without_mingle=True,
            loglevel="WARNING",
        )
        worker.start()


def _app(spec: Spec, handle: Callable[[Message], None]) -> Any:  # noqa: ANN401 (no stubs here)
    """An app with one task that passes its message to `handle`."""
    app = Celery("bench", broker=spec.url)
    app.conf.update(
        task_queues=[Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})],
        task_default_queue=QUEUE,
        task_default_queue_type="quorum",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=spec.options["multiplier"],
    )

    def bench(message: Message) -> None:
        handle(message)

    app.task(bench, name="bench")
    return app


if __name__ == "__main__":
    main()
