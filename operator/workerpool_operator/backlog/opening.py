"""The reader for an endpoint, by the scheme of its URL."""

from workerpool_operator.backlog.postgres import open_postgres
from workerpool_operator.backlog.rabbitmq.reader import open_rabbitmq
from workerpool_operator.backlog.reader import Reader, Signals
from workerpool_operator.backlog.watch import Endpoint

BROKERS = ("amqp://", "amqps://")


def open_reader(endpoint: Endpoint, signals: Signals) -> Reader:
    """A reader that has not connected yet. A URL that can't be used is no error: its readings say so."""
    if endpoint.url.lower().startswith(BROKERS):
        return open_rabbitmq(endpoint, signals)
    return open_postgres(endpoint, signals)
