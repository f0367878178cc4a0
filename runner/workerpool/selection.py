"""Which workers a process runs, on which queues and with which settings. Pure."""

from collections.abc import Iterator, Sequence

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.registry import select, subscriptions
from workerpool.sources.base import Subscription
from workerpool_contract.environment import RunnerSettings


def chosen(
    definitions: Sequence[WorkerDefinition], settings: RunnerSettings
) -> list[tuple[WorkerDefinition, Subscription]]:
    """The workers that this process runs, with the pool's settings over their own, and their queues.

    Named workers; else those that consume the pool's queue; else all. Raises ConfigError.
    """
    queues = subscriptions(definitions)
    picked = select(definitions, settings.workers)
    if settings.queue is not None:
        serving = [it for it in picked if queues[it.name].queue == settings.queue]
        if not serving:
            known = ", ".join(sorted({queues[it.name].queue for it in picked}))
            raise ConfigError(
                f"queue: no worker consumes {settings.queue!r}; the queues of these workers are {known}. "
                "Correct the queue under spec.source in the manifest or the worker's topic"
            )
        if not settings.workers:
            picked = tuple(serving)
    return [(_overridden(it, settings), queues[it.name]) for it in picked]


def names(workers: Sequence[tuple[WorkerDefinition, Subscription]]) -> Iterator[tuple[str, str]]:
    """Every queue and topic that ``workers`` need, each with what it is: "worker 'x' (…): output_topic"."""
    for definition, subscription in workers:
        yield f"{definition.label}: queue", subscription.queue
        for key in ("output_topic", "dlq_topic"):
            topic: str | None = getattr(definition, key)
            if topic is not None:
                yield f"{definition.label}: {key}", topic


def _overridden(definition: WorkerDefinition, settings: RunnerSettings) -> WorkerDefinition:
    return definition.overridden(
        concurrency=settings.concurrency,
        job_timeout=settings.job_timeout,
        max_retries=settings.max_retries,
        backoff=settings.retry_backoff,  # type: ignore[arg-type]  # the settings checked the word
        initial_delay=settings.retry_initial_delay,
        max_delay=settings.retry_max_delay,
    )
