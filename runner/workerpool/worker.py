"""How users declare workers: the ``@worker`` decorator on a function, or a subclass of ``Worker``.

Both only describe: the function stays a plain callable and the class a plain class, so tests call them directly.
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel

from workerpool.definition import DEFAULT_CONCURRENCY, EMPTY_HOOK, Executor, Handler, Origin, WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.registry import REGISTRY
from workerpool.retry import Backoff, RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

MARK: Final = "__workerpool__"
"""Attribute of a decorated function or worker class that holds its WorkerDefinition."""


def worker(  # noqa: PLR0913 - one keyword per setting is the interface
    topic: str,
    *,
    output_topic: str | None = None,
    group_id: str | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    max_retries: int = 3,
    retry_backoff: Backoff = "exponential",
    retry: RetryPolicy | None = None,
    input_schema: type[BaseModel] | None = None,
    output_schema: type[BaseModel] | None = None,
    dlq_topic: str | None = None,
    timeout: float | None = None,
    executor: Executor | None = None,
    name: str | None = None,
    on_success: Handler | None = None,
    on_error: Handler | None = None,
) -> Callable[[F], F]:
    """Makes a function the worker of ``topic``; its name defaults to the function's.

    The function gets the payload and, when it has a second parameter, a JobContext. What it returns is published to
    ``output_topic``; None publishes nothing. ``retry`` replaces ``max_retries`` and ``retry_backoff``. ``timeout`` is
    in seconds. ``on_success(payload, result)`` runs after a success, ``on_error(payload, error)`` once no retry is
    left. Raises ConfigError for settings that can't work.
    """
    if not isinstance(topic, str):
        raise ConfigError("@worker needs a topic: write @worker(topic=…) above the function")

    def declare(function: F) -> F:
        definition = WorkerDefinition(
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            topic=topic,
            handler=function,
            origin=_origin(function),
            output_topic=output_topic,
            group_id=group_id,
            concurrency=concurrency,
            retry=_policy(max_retries, retry_backoff, retry),
            input_schema=input_schema,
            output_schema=output_schema,
            dlq_topic=dlq_topic,
            timeout=timeout,
            executor=executor,
            on_success=on_success,
            on_error=on_error,
        )
        setattr(function, MARK, definition)
        REGISTRY.add(definition)
        return function

    return declare


def empty_hook(function: F) -> F:
    """Marks a hook that does nothing, so that the pipeline needn't call it."""
    setattr(function, EMPTY_HOOK, True)
    return function


class Worker:
    """Base of class-style workers: set ``input_topic`` and write ``process``; the other attributes as in ``@worker``.

    One instance per process handles all its jobs, so attributes are shared between concurrent jobs. ``process`` may be
    async or sync and may take a JobContext as second parameter.
    """

    input_topic: ClassVar[str] = ""
    output_topic: ClassVar[str | None] = None
    group_id: ClassVar[str | None] = None
    concurrency: ClassVar[int] = DEFAULT_CONCURRENCY
    max_retries: ClassVar[int] = 3
    retry_backoff: ClassVar[Backoff] = "exponential"
    retry: ClassVar[RetryPolicy | None] = None
    input_schema: ClassVar[type[BaseModel] | None] = None
    output_schema: ClassVar[type[BaseModel] | None] = None
    dlq_topic: ClassVar[str | None] = None
    timeout: ClassVar[float | None] = None
    executor: ClassVar[Executor | None] = None
    name: ClassVar[str | None] = None

    process: ClassVar[Handler]
    """Handles one payload and returns the result; declared loosely so that subclasses choose their types."""

    @empty_hook
    async def on_success(self, order: Any, result: Any) -> None:  # noqa: ANN401 - payloads are the user's
        """Called after each success with the payload and the result. Its own errors are logged only."""

    @empty_hook
    async def on_error(self, order: Any, error: Exception) -> None:  # noqa: ANN401 - payloads are the user's
        """Called with the payload and the last error once no retry is left. Its own errors are logged only."""

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - handed on to the next class
        """Registers the class when it is complete; a base without topic or process is left alone."""
        super().__init_subclass__(**kwargs)
        process = inspect.getattr_static(cls, "process", None)
        if not cls.input_topic or not inspect.isfunction(process):
            return
        definition = _describe(cls, process)
        setattr(cls, MARK, definition)
        REGISTRY.add(definition)


def definition_of(declared: object) -> WorkerDefinition:
    """The definition behind a decorated function, a Worker class or one of its instances; ConfigError for others."""
    definition = getattr(declared, MARK, None)
    if not isinstance(definition, WorkerDefinition):
        shown = getattr(declared, "__name__", repr(declared))
        raise ConfigError(f"{shown} is not a worker: use @worker(topic=…), or subclass Worker with an input_topic")
    return definition


def _describe(cls: type[Worker], process: Handler) -> WorkerDefinition:
    return WorkerDefinition(
        name=cls.__dict__.get("name") or cls.__name__,
        topic=cls.input_topic,
        handler=process,
        origin=_origin(process, cls),
        owner=cls,
        output_topic=cls.output_topic,
        group_id=cls.group_id,
        concurrency=cls.concurrency,
        retry=_policy(cls.max_retries, cls.retry_backoff, cls.retry),
        input_schema=cls.input_schema,
        output_schema=cls.output_schema,
        dlq_topic=cls.dlq_topic,
        timeout=cls.timeout,
        executor=cls.executor,
    )


def _policy(max_retries: int, backoff: Backoff, retry: RetryPolicy | None) -> RetryPolicy:
    if retry is None:
        return RetryPolicy(max_retries=max_retries, backoff=backoff)
    if (max_retries, backoff) != (3, "exponential"):
        raise ConfigError("retry is set beside max_retries or retry_backoff: put everything into retry=RetryPolicy(…)")
    return retry


def _origin(function: Handler, owner: type[Any] | None = None) -> Origin:
    """A class is placed by its ``process`` method, the one thing of it whose line is known while it is being made."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    module = (owner or function).__module__ or "?"
    return Origin(code.co_filename, code.co_firstlineno, module) if code else Origin(module, 0, module)
