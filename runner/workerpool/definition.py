"""What a worker is, once declared: one frozen value, whether it was written as a function or as a class."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel

from workerpool.errors import ConfigError
from workerpool.retry import Backoff, RetryPolicy

Executor = Literal["async", "thread", "process"]
Handler = Callable[..., Any]

DEFAULT_CONCURRENCY: Final = 10
MAX_CONCURRENCY: Final = 1000
MAX_TOPIC: Final = 255
MAX_NAME: Final = 128

EMPTY_HOOK: Final = "__workerpool_default__"
"""Attribute of a hook that does nothing, so that the pipeline needn't call it."""

_NAME = re.compile(r"[^\s,@]+")
_TOPIC = re.compile(r"[^\x00-\x1f\x7f@]+")


class Origin(NamedTuple):
    """Where a worker was written: the same file and line under two module names is one worker, not two."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}"


class Bound(NamedTuple):
    """The callables of one worker, ready to be called with a payload (and a context where it asks for one)."""

    handler: Handler
    on_success: Handler | None
    on_error: Handler | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDefinition:
    """One declared worker. Raises ConfigError naming the worker, the field, its value and the cure.

    ``handler`` is the function, or the ``process`` of the class ``owner``. ``group_id`` None: the group follows from
    the whole app (see ``registry.subscriptions``). ``concurrency``: jobs at the same time per process. ``timeout``:
    seconds per attempt, None: the pool's job timeout. ``executor``: how the handler runs; filled in from the handler
    when None (async handlers on the loop, sync ones in threads). ``on_success`` and ``on_error`` belong to function
    style; a class brings its own.
    """

    name: str
    topic: str
    handler: Handler = field(repr=False)
    origin: Origin
    owner: type[Any] | None = None
    output_topic: str | None = None
    group_id: str | None = None
    concurrency: int = DEFAULT_CONCURRENCY
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    input_schema: type[BaseModel] | None = None
    output_schema: type[BaseModel] | None = None
    dlq_topic: str | None = None
    timeout: float | None = None
    executor: Executor | None = None
    on_success: Handler | None = field(default=None, repr=False)
    on_error: Handler | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._check_names()
        self._check_numbers()
        self._check_schemas()
        self._check_executor()

    @property
    def is_async(self) -> bool:
        """Whether the handler is a coroutine function."""
        return is_async(self.handler)

    @property
    def runs(self) -> Executor:
        """How the handler runs."""
        return self.executor or ("async" if self.is_async else "thread")

    def bind(self) -> Bound:
        """The callables; a class is instantiated here, without arguments, once per call of this method."""
        if self.owner is None:
            return Bound(self.handler, self.on_success, self.on_error)
        try:
            instance = self.owner()
        except Exception as error:
            raise ConfigError(
                f"{self.label}: {self.owner.__name__}() failed with {type(error).__name__}: {error}; "
                "a worker class is created without arguments: give its parameters defaults"
            ) from error
        hooks = (_own_hook(instance, self.owner, hook) for hook in ("on_success", "on_error"))
        return Bound(instance.process, *hooks)

    def overridden(
        self,
        *,
        concurrency: int | None = None,
        job_timeout: float | None = None,
        max_retries: int | None = None,
        backoff: Backoff | None = None,
        initial_delay: float | None = None,
        max_delay: float | None = None,
    ) -> "WorkerDefinition":
        """This worker with the manifest's settings over its own; None leaves the worker's value.

        ``job_timeout`` is an upper bound: a worker may be stricter than its pool, but never outlast the pool's drain.
        """
        own = self.retry
        timeouts = [timeout for timeout in (self.timeout, job_timeout) if timeout is not None]
        return replace(
            self,
            concurrency=self.concurrency if concurrency is None else concurrency,
            timeout=min(timeouts, default=None),
            retry=RetryPolicy(
                max_retries=own.max_retries if max_retries is None else max_retries,
                backoff=own.backoff if backoff is None else backoff,
                initial_delay=own.initial_delay if initial_delay is None else initial_delay,
                max_delay=own.max_delay if max_delay is None else max_delay,
            ),
        )

    @property
    def label(self) -> str:
        """How error messages call this worker: its name and place."""
        return f"worker {self.name!r} ({self.origin})"

    def _check_names(self) -> None:
        if not _fits(self.name, _NAME, MAX_NAME):
            self._refuse("name", self.name, f"a name has 1 to {MAX_NAME} characters, no space, comma or @")
        if not self.topic:
            self._refuse("topic", self.topic, "name the topic or queue that it consumes")
        for key in ("topic", "output_topic", "dlq_topic", "group_id"):
            value = getattr(self, key)
            if value is not None and not _fits(value, _TOPIC, MAX_TOPIC):
                self._refuse(key, value, f"it has 1 to {MAX_TOPIC} characters, no control character and no @")

    def _check_numbers(self) -> None:
        concurrency, timeout = self.concurrency, self.timeout
        if type(concurrency) is not int or not 1 <= concurrency <= MAX_CONCURRENCY:
            self._refuse("concurrency", concurrency, f"use a whole number from 1 to {MAX_CONCURRENCY}")
        number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if timeout is not None and not (number and 0 < timeout < math.inf):
            self._refuse("timeout", timeout, "use a number of seconds above 0, or None for the pool's job timeout")
        if not isinstance(self.retry, RetryPolicy):
            self._refuse("retry", self.retry, "use a RetryPolicy(…)")

    def _check_schemas(self) -> None:
        for key in ("input_schema", "output_schema"):
            value = getattr(self, key)
            if value is not None and not (isinstance(value, type) and issubclass(value, BaseModel)):
                self._refuse(key, value, "use a pydantic BaseModel class")

    def _check_executor(self) -> None:
        if self.executor not in (None, *get_args(Executor)):
            self._refuse("executor", self.executor, f"use {', '.join(get_args(Executor))}, or leave it out")
        if self.executor == "async" and not self.is_async:
            cure = "a sync handler would block every other job; write async def, or use thread or process"
            self._refuse("executor", self.executor, cure)

    def _refuse(self, key: str, value: object, cure: str) -> None:
        raise ConfigError(f"{self.label}: {key}={value!r}: {cure}")


def _fits(value: object, pattern: re.Pattern[str], longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and pattern.fullmatch(value) is not None


def is_async(function: Handler) -> bool:
    """Whether calling ``function`` gives a coroutine, as far as its declaration tells."""
    call = getattr(function, "__call__", None)  # noqa: B004 - an object's own method, not whether it can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _own_hook(instance: object, owner: type[Any], hook: str) -> Handler | None:
    """The hook if the user wrote one: the inherited empty hooks must cost nothing."""
    inherited = getattr(getattr(owner, hook, None), EMPTY_HOOK, False)
    return None if inherited else getattr(instance, hook, None)
