"""Every supported version of Postgres keeps the promises that lean on the server most."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.engine import Engine, Stage
from tests.conformance.engines import postgres
from tests.conformance.test_claim import (
    test_a_claim_keeps_the_limit_of_each_queue,
    test_concurrent_consumers_never_share_a_job,
    test_waiting_ends_when_somebody_else_enqueues,
)
from tests.conformance.test_enqueue import (
    test_a_due_job_wakes_a_waiting_consumer,
    test_expired_jobs_that_nobody_claims_are_cleaned_up,
    test_higher_priorities_come_first,
    test_many_jobs_come_in_the_order_of_enqueueing_and_ids_belong_to_their_payloads,
    test_the_backlog_counts_ready_delayed_and_in_flight,
)
from tests.conformance.test_leases import (
    test_a_later_crash_is_charged_only_to_jobs_that_were_about_to_start,
    test_a_lease_is_renewed_while_the_job_is_held,
    test_the_outcome_of_a_lost_job_spoils_no_other_of_its_batch,
)
from tests.conformance.test_settle import (
    test_a_batch_of_different_outcomes_is_carried_out,
    test_a_dead_letter_keeps_everything_about_the_job,
    test_progress_is_recorded_in_order,
)
from tests.conformance.test_topics import test_options_hold_for_every_copy
from tests.support.postgres import Server, throw_away
from tests.support.versions import SUPPORTED, binaries_of, default_version

__all__ = [
    "test_a_batch_of_different_outcomes_is_carried_out",
    "test_a_claim_keeps_the_limit_of_each_queue",
    "test_a_dead_letter_keeps_everything_about_the_job",
    "test_a_due_job_wakes_a_waiting_consumer",
    "test_a_later_crash_is_charged_only_to_jobs_that_were_about_to_start",
    "test_a_lease_is_renewed_while_the_job_is_held",
    "test_concurrent_consumers_never_share_a_job",
    "test_expired_jobs_that_nobody_claims_are_cleaned_up",
    "test_higher_priorities_come_first",
    "test_many_jobs_come_in_the_order_of_enqueueing_and_ids_belong_to_their_payloads",
    "test_options_hold_for_every_copy",
    "test_progress_is_recorded_in_order",
    "test_the_backlog_counts_ready_delayed_and_in_flight",
    "test_the_outcome_of_a_lost_job_spoils_no_other_of_its_batch",
    "test_waiting_ends_when_somebody_else_enqueues",
]


@pytest.fixture(scope="module", params=[version for version in SUPPORTED if version != default_version()])
def other_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each version that the other tests don't use."""
    with throw_away(binaries_of(request.param)) as server:
        assert str(server.execute("show server_version")[0][0]).startswith(str(request.param))
        yield server


@pytest.fixture
async def engine(other_server: Server) -> AsyncIterator[Engine]:
    name = other_server.create_database()
    async with postgres(other_server.url(name)) as adapter:
        yield adapter
    other_server.drop_database(name)


@pytest.fixture
async def stage(engine: Engine) -> AsyncIterator[Stage]:
    stage = Stage(engine)
    yield stage
    await stage.close()
