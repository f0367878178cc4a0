"""What is shown of a URL: the server, never the password."""

import pytest

from workerpool_contract.urls import describe, without_passwords


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:hunter2@db:5433/queue?sslmode=require", "Postgres at db:5433/queue"),
        ("postgresql:///queue?host=/run/postgresql", "Postgres at a local socket/queue"),
        ("postgresql://db:port/queue", "the Postgres server"),
        ("hunter2", "the Postgres server"),
        ("app:hunter2@db/queue", "the Postgres server"),
        ("host=db password=hunter2", "the Postgres server"),
        ("postgresql://app:12/hunter2@db/queue", "the Postgres server"),
        ("postgresql://app:12#hunter2@db/queue", "the Postgres server"),
        ("amqp://app:hunter2@mq:5673/jobs?heartbeat=15", "RabbitMQ at mq:5673/jobs"),
        ("amqps://app:hunter2@[::1]:5671/%2Fjobs", "RabbitMQ at [::1]:5671/%2Fjobs"),
        ("amqp://app:12/hunter2@mq/jobs", "the RabbitMQ server"),
        ("amqp://app:12?hunter2@mq/jobs", "the RabbitMQ server"),
        ("amqp://mq:port/jobs", "the RabbitMQ server"),
        ("https://app:hunter2@mq:15671/api", "https://mq:15671/api"),
        ("http://app:12/hunter2@mq:15672", "the web server"),
    ],
)
def test_a_url_is_described_without_credentials(url: str, shown: str) -> None:
    assert describe(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("can't use postgresql://app:hunter2@db/q now", "can't use postgresql://app:***@db/q now"),
        ("postgresql://app:p@ss@db/q", "postgresql://app:***@db/q"),
        ("redis://:hunter2@cache and http://host:80/a", "redis://:***@cache and http://host:80/a"),
        ("postgresql://app:12/hunter2@db/q", "postgresql://app:***@db/q"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("postgresql:///q?password=hunter2&user=app", "postgresql:///q?password=***&user=app"),
    ],
)
def test_passwords_of_urls_are_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
