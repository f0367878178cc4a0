"""Declaring workers: the decorator, the class, and what they refuse."""

from typing import Any

import pytest
from pydantic import BaseModel

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.registry import REGISTRY
from workerpool.retry import RetryPolicy
from workerpool.worker import Worker, definition_of, worker


class OrderIn(BaseModel):
    order_id: str


class OrderOut(BaseModel):
    status: str


def test_a_decorated_function_stays_the_function() -> None:
    async def process(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "processed": True}

    assert worker(topic="events.raw", output_topic="events.processed")(process) is process


async def test_it_is_called_like_any_function() -> None:
    @worker(topic="events.raw")
    async def process(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "processed": True}

    assert await process({"id": 1}) == {"id": 1, "processed": True}


def test_the_documented_defaults() -> None:
    @worker("events")
    async def process(event: dict[str, Any]) -> None: ...

    definition = definition_of(process)
    assert (definition.name, definition.topic, definition.concurrency) == ("process", "events", 10)
    assert definition.retry == RetryPolicy(max_retries=3, backoff="exponential")
    assert (definition.output_topic, definition.group_id, definition.dlq_topic, definition.timeout) == (None,) * 4
    assert definition.runs == "async"


def test_every_setting_of_the_decorator_arrives() -> None:
    @worker(
        topic="orders.created",
        output_topic="orders.notified",
        group_id="mail",
        concurrency=5,
        max_retries=7,
        retry_backoff="fixed",
        input_schema=OrderIn,
        output_schema=OrderOut,
        dlq_topic="orders.dlq",
        timeout=2.5,
        executor="process",
        name="notifier",
        on_success=print,
        on_error=repr,
    )
    def notify(order: dict[str, Any]) -> dict[str, Any]:
        return order

    definition = definition_of(notify)
    assert definition == WorkerDefinition(
        name="notifier",
        topic="orders.created",
        handler=notify,
        origin=definition.origin,
        output_topic="orders.notified",
        group_id="mail",
        concurrency=5,
        retry=RetryPolicy(7, "fixed"),
        input_schema=OrderIn,
        output_schema=OrderOut,
        dlq_topic="orders.dlq",
        timeout=2.5,
        executor="process",
        on_success=print,
        on_error=repr,
    )


def test_sync_handlers_run_in_threads_unless_told_otherwise() -> None:
    @worker("a")
    def plain(job: dict[str, Any]) -> None: ...

    assert definition_of(plain).runs == "thread"


def test_a_class_becomes_a_worker() -> None:
    class OrderProcessor(Worker):
        input_topic = "orders.created"
        output_topic = "orders.processed"
        group_id = "order-processor"
        concurrency = 4
        max_retries = 2
        retry_backoff = "linear"
        input_schema = OrderIn
        output_schema = OrderOut
        dlq_topic = "orders.dlq"

        async def process(self, order: dict[str, Any]) -> dict[str, Any]:
            return {"status": order["order_id"]}

    definition = definition_of(OrderProcessor)
    assert REGISTRY.definitions == (definition,)
    assert (definition.name, definition.topic) == ("OrderProcessor", "orders.created")
    assert (definition.group_id, definition.output_topic) == ("order-processor", "orders.processed")
    assert (definition.concurrency, definition.retry) == (4, RetryPolicy(2, "linear"))
    assert (definition.input_schema, definition.output_schema) == (OrderIn, OrderOut)
    assert definition.dlq_topic == "orders.dlq"


async def test_a_class_can_be_tested_by_calling_process() -> None:
    class Doubler(Worker):
        input_topic = "numbers"

        async def process(self, order: dict[str, Any]) -> dict[str, Any]:
            return {"n": order["n"] * 2}

    assert await Doubler().process({"n": 2}) == {"n": 4}


def test_a_base_class_without_topic_is_not_a_worker() -> None:
    class Base(Worker):
        async def process(self, order: dict[str, Any]) -> None: ...

    class Child(Base):
        input_topic = "orders"

    assert [definition.name for definition in REGISTRY.definitions] == ["Child"]
    with pytest.raises(ConfigError, match="Base is not a worker"):
        definition_of(Base)


def test_only_hooks_that_the_user_wrote_are_bound() -> None:
    class Quiet(Worker):
        input_topic = "a"

        async def process(self, order: dict[str, Any]) -> None: ...

    class Loud(Quiet):
        async def on_error(self, order: dict[str, Any], error: Exception) -> None: ...

    assert definition_of(Quiet).bind()[1:] == (None, None)
    bound = definition_of(Loud).bind()
    assert bound.on_success is None
    assert bound.on_error is not None


def test_a_class_that_needs_arguments_is_refused_with_the_reason() -> None:
    class Needy(Worker):
        input_topic = "a"

        def __init__(self, url: str) -> None:
            self.url = url

        async def process(self, order: dict[str, Any]) -> None: ...

    with pytest.raises(ConfigError, match=r"Needy\(\) failed with TypeError.*'url'.*give its parameters defaults"):
        definition_of(Needy).bind()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topic": ""}, "topic='': name the topic"),
        ({"topic": "a@b"}, "topic='a@b': it has 1 to 255 characters, no control character and no @"),
        ({"topic": "a\n"}, "topic='a\\n'"),
        ({"output_topic": ""}, "output_topic=''"),
        ({"group_id": "x" * 256}, "group_id='xxx"),
        ({"name": "two words"}, "name='two words': a name has 1 to 128 characters"),
        ({"concurrency": 0}, "concurrency=0: use a whole number from 1 to 1000"),
        ({"concurrency": True}, "concurrency=True"),
        ({"concurrency": 2.5}, "concurrency=2.5"),
        ({"timeout": 0}, "timeout=0: use a number of seconds above 0"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"input_schema": dict}, "input_schema=<class 'dict'>: use a pydantic BaseModel class"),
        ({"output_schema": OrderOut(status="x")}, "output_schema=OrderOut(status='x')"),
        ({"executor": "gevent"}, "executor='gevent': use async, thread, process"),
        ({"executor": "async"}, "executor='async': a sync handler would block"),
        ({"retry": 3}, "retry=3: use a RetryPolicy"),
    ],
)
def test_a_bad_setting_is_refused_by_worker_field_and_value(settings: dict[str, Any], words: str) -> None:
    def handle(job: dict[str, Any]) -> None: ...

    with pytest.raises(ConfigError) as caught:
        worker(**{"topic": "a", **settings})(handle)
    assert words in str(caught.value)
    assert "test_worker:" in str(caught.value), "the message says where the worker is"


def test_retry_settings_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="retry is set beside max_retries"):
        worker("a", retry=RetryPolicy(1), max_retries=5)(print)


def test_the_bare_decorator_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"write @worker\(topic=…\)"):
        worker(print)  # type: ignore[arg-type]  # what must be refused


def test_settings_of_the_manifest_replace_the_workers_own() -> None:
    @worker("a", concurrency=5, max_retries=7, retry_backoff="linear", timeout=20)
    async def handle(job: dict[str, Any]) -> None: ...

    own = definition_of(handle)
    assert own.overridden() == own
    changed = own.overridden(concurrency=2, job_timeout=300, backoff="fixed", max_delay=9)
    assert (changed.concurrency, changed.timeout) == (2, 20)
    assert changed.retry == RetryPolicy(7, "fixed", None, 9)


def test_no_worker_outlasts_its_pools_job_timeout() -> None:
    @worker("a", timeout=600)
    async def slow(job: dict[str, Any]) -> None: ...

    @worker("a")
    async def unlimited(job: dict[str, Any]) -> None: ...

    assert definition_of(slow).overridden(job_timeout=300).timeout == 300
    assert definition_of(unlimited).overridden(job_timeout=300).timeout == 300
