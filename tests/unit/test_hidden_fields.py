"""Values that hold URLs or environments don't show them when they are printed, as in a traceback."""

from pathlib import Path
from time import monotonic
from uuid import UUID

import pytest

from workerpool.children import Command
from workerpool.engines import EngineOptions, SourceOptions
from workerpool.sources.postgres.admin_doctor import Patient
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint as Broker
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool_contract.environment import RunnerSettings
from workerpool_operator.local.processes import Access, Surroundings
from workerpool_operator.local.replica import Plan

URL = "postgresql://app:hunter2@db/queue"
BROKER_URL = "amqp://app:hunter2@broker/queue"
ENVIRON = {"WORKERPOOL_URL": URL}
SETTINGS = RunnerSettings(url=URL)
HOLDERS = (
    SETTINGS,
    Command(("run",), ENVIRON),
    SourceOptions(
        url=URL,
        boot=UUID(int=1),
        name="r",
        host="h",
        pid=1,
        version="1",
        slots=1,
        lease=30.0,
        retention=60.0,
        clock=monotonic,
        engine=EngineOptions(management_url=URL),
    ),
    Patient(URL),
    Endpoint(URL),
    Broker(BROKER_URL),
    RabbitmqPublisher(Broker(BROKER_URL)),
    RabbitmqAdmin(Broker(BROKER_URL)),
    EngineOptions(management_url=BROKER_URL),
    Surroundings(Path(), ENVIRON, SETTINGS, {"p": Access(URL, variables={"WORKERPOOL_S3_SECRET_KEY": "hunter2"})}),
    Plan("p-1", ("run",), SETTINGS, ENVIRON, Path()),
)


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_no_secret_is_in_the_text_of_a_value(holder: object) -> None:
    assert "hunter2" not in repr(holder)
