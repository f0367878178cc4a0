"""What a handler's parameters say about how it wants to be called."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import BaseModel

import workerpool
from workerpool.context import JobContext
from workerpool.errors import ConfigError
from workerpool.signatures import Shape, shape_of
from workerpool.worker import Worker, definition_of, worker

if TYPE_CHECKING:
    from decimal import Decimal


class Order(BaseModel):
    id: int


class Other(BaseModel):
    id: int


def shape(handler: Callable[..., Any], **settings: Any) -> Shape:
    return shape_of(definition_of(worker("orders", **settings)(handler)))


def test_the_payload_forms() -> None:
    def anything(job): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the point of the test

    def plain(job: dict): ...  # type: ignore[type-arg, no-untyped-def]  # noqa: ANN202 - as people write it

    def mapping(job: Mapping[str, Any]) -> None: ...

    def text(job: "dict[str, Any]") -> None: ...

    def model(job: Order) -> None: ...

    def items(job: list[int]) -> None: ...

    assert [shape(it).form for it in (anything, plain, mapping, text, items)] == [
        "any",
        "object",
        "object",
        "object",
        "any",
    ]
    assert shape(model) == Shape("model", Order, wants_context=False)
    assert shape(plain, input_schema=Order) == Shape("dump", Order, wants_context=False)
    assert shape(model, input_schema=Order) == Shape("model", Order, wants_context=False)


def test_a_context_is_known_by_annotation_or_name() -> None:
    def annotated(job: dict[str, Any], job_context: JobContext) -> None: ...

    def named(job: dict[str, Any], ctx): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the point

    def text(job: dict[str, Any], it: "workerpool.JobContext") -> None: ...

    def unresolved(job: int, it: "nowhere.JobContext") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the point

    def without(job: dict[str, Any], limit: int = 3) -> None: ...

    assert [shape(it).wants_context for it in (annotated, named, text, unresolved, without)] == [True] * 4 + [False]


def test_the_self_of_a_class_is_not_the_payload() -> None:
    class Orders(Worker):
        input_topic = "orders"

        async def process(self, order: Order, ctx: JobContext) -> None: ...

    assert shape_of(definition_of(Orders)) == Shape("model", Order, wants_context=True)


def without_payload() -> None: ...


def with_more(job: dict[str, Any], ctx: JobContext, database: str) -> None: ...


def with_unknown_second(job: dict[str, Any], database: str) -> None: ...


def with_keyword_only(job: dict[str, Any], *, ctx: JobContext) -> None: ...


def with_self(self: object, job: dict[str, Any]) -> None: ...


def with_missing_name(job: "Decimal") -> None: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (without_payload, "the handler takes no payload; give it a parameter"),
        (with_more, "nothing to pass for parameter 'database'"),
        (with_unknown_second, "nothing to pass for parameter 'database'"),
        (with_keyword_only, "parameter 'ctx' is keyword-only; make it positional"),
        (with_self, "@worker does not go on methods; subclass Worker instead"),
        (with_missing_name, "the annotation 'Decimal' of 'job' is unknown at run time; import it in the module"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused(handler: Callable[..., Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shape(handler)
    assert words in str(caught.value)
    assert f"worker {handler.__name__!r}" in str(caught.value)


def test_two_different_models_are_refused() -> None:
    def handle(job: Order) -> None: ...

    with pytest.raises(ConfigError, match="input_schema=Other but 'job' is a Order; make them the same"):
        shape(handle, input_schema=cast("Any", Other))
