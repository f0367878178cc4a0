"""What redaction hides, what it must leave alone, and that it is stable under repetition."""

from collections.abc import Iterator
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workerpool.redaction import MASK, forget_secrets, redact, register_secret, register_url, secrets_of

SECRET = "hunter2-S3cr3t"


@pytest.fixture(autouse=True)
def _no_registered_secrets() -> Iterator[None]:
    forget_secrets()
    yield
    forget_secrets()


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:{SECRET}@db:5432/queue",
        f"amqps://guest:{SECRET}@mq/vhost?heartbeat=15",
        f"redis://:{SECRET}@cache",
        f"cannot connect to 'postgresql://app:{SECRET}@db/queue': refused",
        f"postgresql://app:a/{SECRET}@db/queue",
        f"postgresql://app:a@{SECRET}@db/queue",
        f"postgresql://db/queue?user=app&password={SECRET}&sslmode=require",
        f"host=db user=app password={SECRET} dbname=queue",
        f"password='{SECRET} with spaces'",
        f'{{"password": "{SECRET}", "user": "app"}}',
        f"{{'db_password': '{SECRET}'}}",
        f"Authorization: Bearer {SECRET}",
        f"authorization=Basic {SECRET}",
        f"sent header Bearer {SECRET}",
        f"GARAGE_SECRET_KEY={SECRET}",
        f"GARAGE_ACCESS_KEY: {SECRET}",
        f"AWS_SESSION_TOKEN={SECRET}",
        f"x-api-key: {SECRET}",
        f"key={SECRET}",
        f'password="{SECRET} cut off',
        f'{{"key": "{SECRET}"}}',
        f"Set-Cookie: {SECRET}",
        f"PGPASSWORD={SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET} cut off",
    ],
)
def test_hides_the_secret_and_says_so(text: str) -> None:
    masked = redact(text)
    assert SECRET not in masked
    assert MASK in masked


def test_keeps_what_an_on_call_person_needs_of_a_url() -> None:
    assert redact(f"postgresql://app:{SECRET}@db:5432/queue?x=1") == "postgresql://app:***@db:5432/queue?x=1"


@pytest.mark.parametrize(
    "text",
    [
        "job 17 of queue orders completed in 12 ms",
        "postgresql://db:5432/queue",
        "postgresql://app@db:5432/queue",
        "unique_key=order-17 routing_key=orders.created",
        "queue=orders attempt=3 durationMs=12.5",
        "http://127.0.0.1:3002/health answered 200",
        "KeyError: 'name'",
    ],
)
def test_leaves_harmless_text_alone(text: str) -> None:
    assert redact(text) == text


def test_registered_values_are_masked_wherever_they_stand_as_a_word() -> None:
    assert register_secret(SECRET)
    assert redact(f"the server said: {SECRET}!") == "the server said: ***!"
    assert redact(f"{SECRET}inside") == f"{SECRET}inside"


def test_short_values_are_refused_since_masking_them_would_hide_the_log() -> None:
    assert not register_secret("abc")
    assert redact("abc") == "abc"


def test_a_url_registers_its_password_as_written_and_decoded() -> None:
    register_url("postgresql://app:p%40ssword-1@db/queue")
    assert redact("tried p@ssword-1, then p%40ssword-1") == "tried ***, then ***"


@pytest.mark.parametrize("url", ["postgresql://db/x", "postgresql://postgres:postgres@db/x", "http://[broken", ""])
def test_urls_without_a_secret_register_nothing(url: str) -> None:
    assert secrets_of(url) == ()


@pytest.mark.parametrize("filler", ["a", "a.", "a://b:", "password", "password ", '"', "key="])
def test_long_text_takes_time_in_proportion_to_its_length(filler: str) -> None:
    text = "x=" + filler * (200_000 // len(filler))
    started = process_time()
    redact(text)
    assert process_time() - started < 2


@given(st.text(max_size=200))
def test_twice_is_the_same_as_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(
    st.sampled_from(["postgresql", "amqp", "https", "s3+http"]),
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='@/"<>:'), min_size=8),
)
def test_no_printable_password_survives_in_a_url(scheme: str, password: str) -> None:
    secret = f"{password}zQ9"
    assert secret not in redact(f"could not open {scheme}://app:{secret}@db.example:5432/queue, giving up")
