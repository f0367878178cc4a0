"""Which workers a process runs, and with which settings."""

import pytest

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.selection import chosen
from workerpool.worker import definition_of, worker
from workerpool_contract.environment import RunnerSettings


def _definitions() -> list[WorkerDefinition]:
    @worker(topic="orders", concurrency=2, max_retries=9)
    async def bill(order: int) -> None: ...

    @worker(topic="parcels")
    async def send(parcel: int) -> None: ...

    return [definition_of(bill), definition_of(send)]


def test_a_pool_runs_the_workers_of_its_queue() -> None:
    picked = chosen(_definitions(), RunnerSettings(queue="parcels"))
    assert [(definition.name, queue.queue) for definition, queue in picked] == [("send", "parcels")]


def test_named_workers_are_run_and_the_pools_settings_win() -> None:
    [(definition, _)] = chosen(_definitions(), RunnerSettings(workers=("bill",), concurrency=7, job_timeout=5))
    assert (definition.concurrency, definition.timeout, definition.retry.max_retries) == (7, 5, 9)


def test_without_a_choice_every_worker_runs() -> None:
    assert len(chosen(_definitions(), RunnerSettings())) == 2


def test_a_queue_that_nobody_consumes_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'nobody'.*orders, parcels"):
        chosen(_definitions(), RunnerSettings(queue="nobody"))
