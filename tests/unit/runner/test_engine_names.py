"""Names that no queue of a broker can have are refused when the runner starts, with the worker that has them."""

from typing import Any

import pytest

from workerpool.engines import require_names
from workerpool.errors import ConfigError
from workerpool.registry import subscriptions
from workerpool.selection import names
from workerpool.worker import definition_of, worker

BROKER = "amqp://u:p@broker/v"


def _names(**options: Any) -> list[tuple[str, str]]:
    @worker(name="mailer", **options)
    async def handle(job: dict[str, Any]) -> None: ...

    definition = definition_of(handle)
    return list(names([(definition, subscriptions([definition])["mailer"])]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topic": "注文"}, r"'mailer' .*: queue='注文' has a character .* use ASCII letters"),
        ({"topic": "orders.#", "group_id": "mail"}, r"queue='orders.#@mail' has # for a word"),
        ({"topic": "a" * 200, "group_id": "b" * 60}, "has 261 characters"),
        ({"topic": "orders", "output_topic": "mails!"}, "output_topic='mails!' has a character"),
        ({"topic": "orders", "dlq_topic": "amq.dead"}, "dlq_topic='amq.dead' begins with a reserved prefix"),
    ],
)
def test_a_broker_can_not_have_them(options: dict[str, str], words: str) -> None:
    found = _names(**options)
    with pytest.raises(ConfigError, match=words):
        require_names(BROKER, found)
    require_names("postgresql://host/database", found)


def test_ordinary_names_are_taken() -> None:
    require_names(BROKER, _names(topic="orders", group_id="mail", output_topic="mails", dlq_topic="orders-dead"))
