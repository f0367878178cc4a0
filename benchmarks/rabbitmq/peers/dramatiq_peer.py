"""Dramatiq on RabbitMQ: one actor, its own worker threads in this process. It has no quorum queues."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.peers.spec import Spec, load
from benchmarks.rabbitmq.peers.base import Message, plain_handler
from benchmarks.rabbitmq.sessions import QUEUE, first_message

PREFETCH = "dramatiq_queue_prefetch"


def main() -> None:
    """Do what the spec file named on the command line asks; options: threads, prefetch."""
    spec = load(sys.argv[1])
    # Dramatiq reads it when it is imported.
    os.environ[PREFETCH] = str(spec.options["prefetch"])
    if spec.role == "setup":
        broker, actor = _actor(spec, lambda _: None)
        actor.send(first_message(spec.job))
        broker.close()
        return
    with plain_handler(spec) as handle:
        _work(spec, handle)


def _work(spec: Spec, handle: Callable[[Message], None]) -> None:
    """Run its worker until SIGTERM."""
    from dramatiq import Worker

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    broker, _actor_of_it = _actor(spec, handle)
    worker = Worker(broker, worker_threads=spec.options["threads"])
    worker.start()
    stop.wait()
    worker.stop()
    broker.close()


def _actor(spec: Spec, handle: Callable[[Message], None]) -> tuple[Any, Any]:
    """A broker and its actor, which passes its message to `handle`."""
    import dramatiq
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=spec.url, confirm_delivery=True)
    dramatiq.set_broker(broker)

    def bench(message: Message) -> None:
        handle(message)

    return broker, dramatiq.actor(bench, queue_name=QUEUE)


if __name__ == "__main__":
    main()
