"""Which RabbitMQ the tests run on."""

import pytest

from tests.support.broker_programs import ENV_RELEASE, NEWER, release


@pytest.mark.parametrize(("environment", "found"), [({}, ""), ({ENV_RELEASE: ""}, ""), ({ENV_RELEASE: "4"}, NEWER)])
def test_it_is_the_one_that_is_asked_for(environment: dict[str, str], found: str) -> None:
    assert release(environment) == found


@pytest.mark.parametrize("asked", ["3", "4.0", "/opt/rabbitmq"])
def test_one_that_nobody_knows_is_refused(asked: str) -> None:
    """Or tests that are to run on another server would run on the system's, and pass."""
    with pytest.raises(ValueError, match=f"{ENV_RELEASE} is '{asked}'; unset it"):
        release({ENV_RELEASE: asked})
