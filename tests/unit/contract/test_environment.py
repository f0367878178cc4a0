"""Settings survive the way through environment variables, and bad variables are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workerpool_contract.environment import (
    RunnerSettings,
    SettingsError,
    from_environment,
    settings_of,
    to_environment,
    without_settings,
)
from workerpool_contract.spec import Backoff, WorkerPoolSpec

text = st.from_regex(r"[a-z][a-z0-9_./:@-]{0,30}", fullmatch=True)
durations = st.floats(0.001, 604_800)
settings = st.builds(
    RunnerSettings,
    url=st.none() | text,
    app=st.none() | text,
    builtin=st.none() | st.just("s3-archive"),
    workers=st.lists(text, max_size=5).map(tuple),
    pool=st.none() | text,
    queue=st.none() | text,
    worker_id=st.none() | text,
    concurrency=st.none() | st.integers(1, 1000),
    processes=st.integers(1, 64),
    job_timeout=durations,
    drain_timeout=st.none() | durations,
    max_retries=st.none() | st.integers(0, 1000),
    retry_backoff=st.none() | st.sampled_from([b.value.lower() for b in Backoff]),
    retry_initial_delay=st.none() | durations,
    retry_max_delay=st.none() | durations,
    poll_interval=st.none() | st.floats(0.001, 3600),
    lease=st.floats(1, 86_400),
    history_retention=st.floats(60, 86_400),
    max_crashes=st.integers(1, 1000),
    max_payload=st.integers(1, 1 << 30),
    postgres_mode=st.sampled_from(["Direct", "Pooled"]),
    rabbitmq_host=st.none() | text,
    rabbitmq_port=st.none() | st.integers(1, 65_535),
    rabbitmq_vhost=st.none() | text,
    rabbitmq_username=st.none() | text,
    rabbitmq_password=st.none() | text,
    rabbitmq_tls=st.booleans(),
    rabbitmq_ca_file=st.none() | text,
    rabbitmq_delivery_limit=st.integers(1, 1_000_000),
    rabbitmq_management_url=st.none() | st.just("http://u:p@mq:15672/x"),
    probe_host=text,
    probe_port=st.integers(0, 65_535),
    log_format=st.sampled_from(["text", "json"]),
    log_level=st.sampled_from(["debug", "info", "warning", "error"]),
    log_file=st.none() | text,
    temp_dir=st.none() | text,
    state_dir=st.none() | text,
)


@given(settings)
def test_settings_survive_the_environment(given_settings: RunnerSettings) -> None:
    """What the operator writes is what the runner reads."""
    environ = to_environment(given_settings)
    assert all(name.startswith("WORKERPOOL_") for name in environ)
    assert from_environment(environ) == given_settings


def test_every_field_has_a_variable_and_a_strategy() -> None:
    """A new field can't be forgotten in the table or in the test above."""
    changed = RunnerSettings(
        url="u",
        app="a",
        builtin="s3-archive",
        workers=("w",),
        pool="p",
        queue="q",
        worker_id="i",
        concurrency=1,
        processes=2,
        job_timeout=1.0,
        drain_timeout=1.0,
        max_retries=1,
        retry_backoff="fixed",
        retry_initial_delay=1.0,
        retry_max_delay=1.0,
        poll_interval=1.0,
        lease=1.0,
        history_retention=61.0,
        max_crashes=1,
        max_payload=1,
        postgres_mode="Pooled",
        rabbitmq_host="h",
        rabbitmq_port=1,
        rabbitmq_vhost="v",
        rabbitmq_username="u",
        rabbitmq_password="p",
        rabbitmq_tls=True,
        rabbitmq_ca_file="c",
        rabbitmq_delivery_limit=5,
        rabbitmq_management_url="m",
        probe_host="h",
        probe_port=1,
        log_format="json",
        log_level="debug",
        log_file="f",
        temp_dir="t",
        state_dir="s",
    )
    assert len(to_environment(changed)) == len(RunnerSettings.__dataclass_fields__)


def test_a_spec_becomes_settings() -> None:
    """The spec's words arrive in the runner's units."""
    spec = WorkerPoolSpec.model_validate(
        {
            "source": {"postgres": {"queue": "orders", "mode": "Pooled"}},
            "worker": {
                "app": "shop.workers",
                "names": ["a", "b"],
                "concurrency": 4,
                "processes": 2,
                "jobTimeoutSeconds": 60,
            },
            "retry": {"maxRetries": 5, "backoff": "Linear", "initialDelaySeconds": 2},
        }
    )
    read = from_environment(to_environment(settings_of("shop", spec, "postgresql://db/x")))
    assert read == RunnerSettings(
        url="postgresql://db/x",
        app="shop.workers",
        workers=("a", "b"),
        pool="shop",
        queue="orders",
        concurrency=4,
        processes=2,
        job_timeout=60.0,
        drain_timeout=75.0,
        max_retries=5,
        retry_backoff="linear",
        retry_initial_delay=2.0,
        postgres_mode="Pooled",
    )


def test_a_broker_in_a_spec_becomes_settings() -> None:
    """The base has no say in where the broker is; what is secret comes from elsewhere."""
    source = {"host": "mq", "vhost": "a/b", "tls": {}, "queue": "raw_sessions", "deliveryLimit": 5}
    spec = WorkerPoolSpec.model_validate(
        {"source": {"rabbitmq": source}, "worker": {"builtin": "s3-archive", "archive": {}}}
    )
    base = RunnerSettings(rabbitmq_host="other", rabbitmq_port=1, rabbitmq_password="other")
    found = settings_of("archive", spec, "amqps://mq/x", base)
    assert (found.builtin, found.app, found.queue, found.rabbitmq_delivery_limit) == (
        "s3-archive",
        None,
        "raw_sessions",
        5,
    )
    assert (found.rabbitmq_host, found.rabbitmq_port, found.rabbitmq_vhost) == ("mq", None, "a/b")
    assert found.rabbitmq_tls
    assert found.rabbitmq_password is None


def test_parts_make_a_url() -> None:
    """Nothing is encoded in the variables, everything in the URL; a URL is stronger than the parts."""
    parts = {
        "WORKERPOOL_RABBITMQ_HOST": "mq",
        "WORKERPOOL_RABBITMQ_VHOST": "a/b",
        "WORKERPOOL_RABBITMQ_USERNAME": "u@x",
        "WORKERPOOL_RABBITMQ_PASSWORD": "p:/#%",
    }
    assert from_environment(parts).effective_url == "amqp://u%40x:p%3A%2F%23%25@mq:5672/a%2Fb"
    assert from_environment({**parts, "WORKERPOOL_RABBITMQ_TLS": "Yes"}).effective_url == (
        "amqps://u%40x:p%3A%2F%23%25@mq:5671/a%2Fb"
    )
    assert from_environment({**parts, "WORKERPOOL_URL": "amqp://b"}).effective_url == "amqp://b"
    assert from_environment({}).effective_url is None


def test_an_older_name_of_the_url_is_weaker_than_a_broker() -> None:
    """A job may have a database of its own, in DATABASE_URL."""
    environ = {"WORKERPOOL_RABBITMQ_HOST": "mq", "DATABASE_URL": "postgresql://db/own", "RABBITMQ_URL": "amqp://old"}
    assert from_environment(environ).effective_url == "amqp://guest:guest@mq:5672/%2F"


def test_replicas_share_no_log_file() -> None:
    """Neither the variable nor the base settings carry it to the runners of a pool."""
    base = from_environment({"WORKERPOOL_LOG_FILE": "all.log"})
    spec = WorkerPoolSpec.model_validate({"source": {"postgres": {"queue": "q"}}, "worker": {"app": "a"}})
    assert settings_of("p", spec, "u", base).log_file is None
    assert without_settings({"WORKERPOOL_LOG_FILE": "all.log", "HOME": "/home/a"}) == {"HOME": "/home/a"}


def test_drain_timeout_is_that_of_the_spec_and_no_url_is_printed() -> None:
    """A runner without a pool drains for as long as one with a pool; its settings may end up in a traceback."""
    found = RunnerSettings(job_timeout=60.0, url="postgresql://app:hunter2@db/q", rabbitmq_password="hunter2")
    assert found.effective_drain_timeout == 75.0
    assert "hunter2" not in repr(found)


def test_older_names_fill_in_and_the_new_name_wins() -> None:
    """Environments of the replaced services work unchanged; durations there are milliseconds."""
    old = {
        "DATABASE_URL": "postgresql://db/old",
        "WORKER_HEALTH_PORT": "3005",
        "WORKER_POLL_INTERVAL_SECS": "7",
        "MAX_RETRIES": "9",
        "WORKER_RETRY_BASE_DELAY_MS": "500",
        "WORKER_RETRY_MAX_DELAY_MS": "60000",
        "LOG_FORMAT": "json",
        "JOB_TIMEOUT_MS": "900000",
        "WORKER_ID": "w-1",
        "TEMP_DIR": "/scratch",
    }
    assert from_environment(old) == RunnerSettings(
        url="postgresql://db/old",
        probe_port=3005,
        poll_interval=7.0,
        max_retries=9,
        retry_initial_delay=0.5,
        retry_max_delay=60.0,
        log_format="json",
        job_timeout=900.0,
        worker_id="w-1",
        temp_dir="/scratch",
    )
    newer = from_environment({**old, "WORKER_MAX_RETRIES": "4", "WORKERPOOL_PROBE_PORT": "3006"})
    assert (newer.max_retries, newer.probe_port) == (4, 3006)
    broker = {"RABBITMQ_URL": "amqp://mq", "RABBITMQ_QUEUE": "raw_sessions"}
    assert from_environment(broker) == RunnerSettings(url="amqp://mq", queue="raw_sessions")
    assert from_environment({**old, "WORKERPOOL_MAX_RETRIES": "1", "WORKER_MAX_RETRIES": "4"}).max_retries == 1


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (
            {"WORKERPOOL_CONCURRENCY": "many"},
            "WORKERPOOL_CONCURRENCY: 'many' is not a whole number from 1 to 1000; correct",
        ),
        ({"WORKERPOOL_CONCURRENCY": "0"}, "'0' is not a whole number from 1"),
        ({"WORKERPOOL_PROBE_PORT": "--1"}, "'--1' is not a whole number"),
        ({"JOB_TIMEOUT_MS": "soon"}, "JOB_TIMEOUT_MS: 'soon' is not a number of milliseconds from 1 to"),
        ({"WORKERPOOL_JOB_TIMEOUT_SECONDS": "nan"}, "is not a number of seconds"),
        ({"WORKERPOOL_RABBITMQ_TLS": "maybe"}, "WORKERPOOL_RABBITMQ_TLS: 'maybe' is not true or false"),
        ({"WORKERPOOL_RABBITMQ_MANAGEMENT_URL": "amqp://mq"}, "its value is not a URL that begins with http:// or htt"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: 'xml' is not one of text, json"),
    ],
)
def test_bad_variables_are_named(environ: dict[str, str], words: str) -> None:
    """The message names the variable that the user set, the value and the cure."""
    with pytest.raises(SettingsError, match=words):
        from_environment(environ)


def test_blank_variables_count_as_unset() -> None:
    """Templates often leave a variable empty."""
    assert from_environment({"WORKERPOOL_CONCURRENCY": " ", "MAX_RETRIES": ""}) == RunnerSettings()
