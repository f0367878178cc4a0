"""What went wrong with a connection is told with a cure, whatever it was."""

import ssl

import pytest
from aiormq.exceptions import ConnectionClosed, InvalidFrameError, ProbableAuthenticationError

from workerpool_operator.backlog.rabbitmq.wire import reason_of

FIELD = "spec.source.rabbitmq"


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ProbableAuthenticationError("guest"), f"{FIELD}.credentialsSecretRef or urlSecretRef"),
        (InvalidFrameError(b""), f"correct {FIELD}.vhost"),
        (ssl.SSLCertVerificationError(1, "self-signed"), f"set {FIELD}.tls.caSecretRef"),
        (ssl.SSLError(1, "wrong version"), f"check {FIELD}.tls and the port"),
        (TimeoutError(), f"check {FIELD}.host and port, and the broker's log"),
        (ConnectionClosed(320, "CONNECTION_FORCED"), "its log says why"),
        (ConnectionRefusedError(111, "refused"), f"check {FIELD}.host and port, and that the broker runs"),
    ],
)
def test_every_failure_has_a_cure(error: BaseException, cure: str) -> None:
    assert cure in reason_of(error)


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ProbableAuthenticationError("guest"), "refused the login; check user and password in --url"),
        (InvalidFrameError(b""), "correct the vhost in --url, or create it"),
        (TimeoutError(), "check host and port in --url, and the broker's log"),
        (ConnectionRefusedError(111, "refused"), "check host and port in --url, and that the broker runs"),
    ],
)
def test_the_cure_names_who_named_the_broker(error: BaseException, cure: str) -> None:
    assert reason_of(error, "--url").endswith(cure)
