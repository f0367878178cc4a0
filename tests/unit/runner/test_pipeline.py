"""What becomes of a job that its handler finishes: results, outputs, schemas, hooks."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from tests.unit.runner.jobs import bench, dead
from workerpool.outcome import SUCCEEDED, DeadReason, Output, Succeeded
from workerpool.worker import Worker, worker


class OrderIn(BaseModel):
    order_id: str
    currency: str = "BRL"


class OrderOut(BaseModel):
    order_id: str
    at: datetime


async def test_returning_none_is_a_success_that_keeps_and_publishes_nothing() -> None:
    seen = []

    @worker("orders", output_topic="next", output_schema=OrderOut)
    async def handle(order: dict[str, Any]) -> None:
        seen.append(order)

    async with bench(handle) as run:
        assert await run('{"a": [1, null, "é"]}') is SUCCEEDED
    assert seen == [{"a": [1, None, "é"]}]


async def test_a_result_is_kept_and_published_as_json() -> None:
    @worker("orders", output_topic="next")
    async def handle(order: dict[str, Any]) -> dict[str, Any]:
        return {**order, "at": datetime(2026, 1, 2, tzinfo=UTC), "id": UUID(int=1)}

    async with bench(handle) as run:
        text = '{"n":1,"at":"2026-01-02T00:00:00Z","id":"00000000-0000-0000-0000-000000000001"}'
        assert await run('{"n": 1}') == Succeeded(text, (Output("next", text),))


async def test_without_an_output_topic_the_result_is_only_kept() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any]) -> list[int]:
        return [1]

    async with bench(handle) as run:
        assert await run() == Succeeded("[1]")


@pytest.mark.parametrize("result", [0, "", False, {}, []])
async def test_an_empty_result_is_a_result(result: Any) -> None:
    @worker("orders")
    async def handle(order: Any) -> Any:
        return result

    async with bench(handle) as run:
        assert await run() == Succeeded(json.dumps(result))


async def test_a_model_parameter_gets_the_validated_model() -> None:
    @worker("orders")
    async def handle(order: OrderIn) -> OrderOut:
        return OrderOut(order_id=order.order_id + order.currency, at=datetime(2026, 1, 2, tzinfo=UTC))

    async with bench(handle) as run:
        assert await run('{"order_id": "a"}') == Succeeded('{"order_id":"aBRL","at":"2026-01-02T00:00:00Z"}')


async def test_a_dict_parameter_with_an_input_schema_gets_the_validated_dict() -> None:
    @worker("orders", input_schema=OrderIn)
    async def handle(order: dict[str, Any]) -> dict[str, Any]:
        return order

    async with bench(handle) as run:
        assert await run('{"order_id": "a", "extra": 1}') == Succeeded('{"order_id":"a","currency":"BRL"}')


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("{}", "the payload does not match OrderIn: order_id: Field required"),
        ('{"order_id": 5}', "the payload does not match OrderIn: order_id: Input should be a valid string"),
        ("[]", "the payload does not match OrderIn: Input should be an object"),
        ("{nope", "the payload does not match OrderIn: Invalid JSON"),
    ],
)
async def test_a_payload_against_the_schema_is_a_dead_letter_that_lists_the_fields(payload: str, words: str) -> None:
    calls = []

    async def called(*arguments: object) -> None:
        calls.append(arguments)

    @worker("orders", input_schema=OrderIn, on_error=called)
    async def handle(order: dict[str, Any]) -> None:
        calls.append((order,))

    async with bench(handle) as run:
        reason, error = dead(await run(payload))
    assert reason is DeadReason.INVALID
    assert error.startswith(words)
    assert calls == [], "neither the handler nor a hook sees an invalid payload"


@pytest.mark.parametrize("payload", ["", "nope", '{"a": 1', '{"a": 1} 2', '{"a": NaN}'])
async def test_malformed_json_is_a_dead_letter(payload: str) -> None:
    @worker("orders")
    async def handle(order: Any) -> None: ...

    async with bench(handle) as run:
        reason, error = dead(await run(payload))
    assert (reason, error[:23]) == (DeadReason.INVALID, "the payload is not JSON")


@pytest.mark.parametrize(
    ("payload", "found"), [("[1]", "an array"), ("null", "null"), ('"x"', "text"), ("1", "a number")]
)
async def test_a_dict_parameter_takes_objects_only(payload: str, found: str) -> None:
    @worker("orders")
    async def handle(order: dict[str, Any]) -> None: ...

    async with bench(handle) as run:
        assert dead(await run(payload))[1] == (
            f"the payload is {found}, but the handler takes an object (its parameter is a dict)"
        )


async def test_a_parameter_without_annotation_takes_any_json() -> None:
    @worker("orders")
    async def handle(order):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the point of the test
        return order

    async with bench(handle) as run:
        assert await run("[1,null]") == Succeeded("[1,null]")


async def test_a_validator_that_fails_in_its_own_way_is_an_invalid_payload() -> None:
    class Odd(BaseModel):
        n: int

        def model_post_init(self, _context: object) -> None:
            raise LookupError("odd")

    @worker("orders")
    async def handle(order: Odd) -> None: ...

    async with bench(handle) as run:
        assert dead(await run('{"n": 1}')) == (
            DeadReason.INVALID,
            "the payload could not be checked against Odd: LookupError: odd",
        )


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (object(), "the result is not JSON: Unable to serialize unknown type: <class 'object'>; return dicts"),
        ({"x": float("nan")}, "the result holds NaN or Infinity, which JSON lacks; return None in their place"),
        ({"x": "\ud800"}, "the result is not JSON"),
        ("x" * 200, "the result has 202 bytes, the limit is 100; store it elsewhere"),
    ],
)
async def test_a_result_that_is_not_json_is_a_dead_letter_with_a_cure(result: Any, words: str) -> None:
    @worker("orders")
    async def handle(order: Any) -> Any:
        return result

    async with bench(handle, max_payload=100) as run:
        reason, error = dead(await run())
    assert reason is DeadReason.INVALID
    assert words in error


async def test_text_that_says_nan_is_fine() -> None:
    @worker("orders")
    async def handle(order: Any) -> str:
        return "NaN, Infinity"

    async with bench(handle) as run:
        assert await run() == Succeeded('"NaN, Infinity"')


async def test_an_output_schema_checks_and_completes_the_result() -> None:
    @worker("orders", output_schema=OrderIn)
    async def handle(order: dict[str, Any]) -> dict[str, Any]:
        return order

    async with bench(handle) as run:
        assert await run('{"order_id": "a"}') == Succeeded('{"order_id":"a","currency":"BRL"}')
        reason, error = dead(await run('{"id": 3}'))
    assert reason is DeadReason.INVALID
    assert "the result does not match output_schema OrderIn: order_id: Field required; correct one of them" in error


async def test_a_class_works_with_its_own_state_and_hooks() -> None:
    class Counter(Worker):
        input_topic = "orders"

        def __init__(self) -> None:
            self.told: list[Any] = []

        async def process(self, order: dict[str, Any]) -> dict[str, Any]:
            return {"told": len(self.told)}

        async def on_success(self, order: dict[str, Any], result: dict[str, Any]) -> None:
            self.told.append((order, result))

    async with bench(Counter) as run:
        assert await run() == Succeeded('{"told":0}')
        assert await run() == Succeeded('{"told":1}')


async def test_on_success_is_told_of_a_none_result_too() -> None:
    told = []

    @worker("orders", on_success=lambda order, result: told.append((order, result)))
    async def handle(order: dict[str, Any]) -> None: ...

    async with bench(handle) as run:
        assert await run() is SUCCEEDED
    assert told == [({"id": 1}, None)]


async def test_a_failing_hook_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*arguments: object) -> None:
        raise SystemExit("hook")

    @worker("orders", on_success=broken, on_error=broken, max_retries=0)
    async def handle(order: dict[str, Any]) -> None:
        if order["id"] == 2:
            raise ValueError("no")

    async with bench(handle) as run:
        assert await run() is SUCCEEDED
        assert dead(await run('{"id": 2}'))[0] is DeadReason.ERROR
    assert "on_success of worker handle failed: SystemExit: hook" in caplog.text
    assert "on_error of worker handle failed: SystemExit: hook" in caplog.text


async def test_a_hook_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(*arguments: object) -> None:
        await asyncio.Event().wait()

    @worker("orders", on_success=hang)
    async def handle(order: dict[str, Any]) -> None: ...

    async with bench(handle, hook_timeout=0.01) as run:
        assert await run() is SUCCEEDED
    assert "on_success of worker handle failed: TimeoutError" in caplog.text
