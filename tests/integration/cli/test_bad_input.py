"""Whatever is wrong outside of the commands: one line with a cure, the documented exit code, and no secret."""

from pathlib import Path

import pytest

from tests.integration.cli.conftest import PASSWORD, Result, Shell
from tests.support.tables import Tables

QUEUE_COMMANDS = (
    ("jobs", "list"),
    ("jobs", "show", 1),
    ("jobs", "retry", 1),
    ("jobs", "cancel", 1),
    ("dlq", "list"),
    ("dlq", "show", 1),
    ("dlq", "redrive", "--all"),
    ("dlq", "drop", "--all", "--yes"),
    ("enqueue", "orders", "1"),
    ("migrate",),
    ("migrate", "--check"),
)


def check_clean(result: Result) -> None:
    """One error line, nothing on stdout, no traceback, no secret."""
    assert result.out == ""
    assert result.err.startswith("Error: ")
    assert len(result.err.splitlines()) == 1
    assert "Traceback" not in result.err
    assert PASSWORD not in result.err


def test_a_server_that_is_away(shell: Shell, nowhere: str) -> None:
    for words in QUEUE_COMMANDS:
        result = shell(*words)
        assert result.code == 3, words
        assert "can't be reached" in result.err
        check_clean(result)


def test_a_topology_without_a_broker_asks_for_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKERPOOL_URL", "DATABASE_URL", "WORKERPOOL_RABBITMQ_HOST", "RABBITMQ_URL", "RABBITMQ_HOST"):
        monkeypatch.delenv(name, raising=False)
    result = shell("topology", "plan", "orders.created")
    assert result.code == 2
    check_clean(result)
    assert "no broker is named; pass --url amqp://user:" in result.err
    assert "database" not in result.err


def test_a_wrong_password(shell: Shell, guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "walrus-0815"
    monkeypatch.setenv("WORKERPOOL_URL", guarded.replace(PASSWORD, wrong))
    for words in QUEUE_COMMANDS:
        result = shell(*words)
        assert result.code == 2, words
        assert "refused the login" in result.err
        assert "check user and password" in result.err
        assert wrong not in result.err
        check_clean(result)


def test_the_right_password_is_shown_nowhere(shell: Shell, guarded: str) -> None:
    shell("enqueue", "orders", '"about %s"' % PASSWORD, "--url", guarded)  # noqa: UP031 - a payload, not a message
    for words in (("jobs", "list"), ("doctor",), ("doctor", "--json"), ("migrate",), ("dlq", "list")):
        result = shell(*words, "--url", guarded)
        assert result.code == 0, words
        assert PASSWORD not in result.out + result.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://app:kestrel-4711@db/queue", "'mysql://…' names no known engine"),
        ("kestrel-4711", "a text without scheme"),
        ("postgresql://app:kestrel-4711@127.0.0.1:port/queue", "host or port can't be read"),
        ("postgresql://app:kestrel-4711@[::1/queue", "host or port can't be read"),
        ("postgresql://app:kestrel-4711@127.0.0.1:99999/queue", "host or port can't be read"),
    ],
)
def test_a_url_that_is_none(shell: Shell, url: str, said: str) -> None:
    for words in (("jobs", "list"), ("enqueue", "orders", "1"), ("migrate",)):
        result = shell(*words, "--url", url)
        assert result.code == 2
        assert said in result.err
        check_clean(result)


def test_a_database_that_is_not_there(shell: Shell, database: str) -> None:
    result = shell("jobs", "list", "--url", database.rpartition("/")[0] + "/nothing_here")
    assert result.code == 2
    assert "nothing_here" in result.err
    assert "create it or correct the last part of the URL" in result.err
    check_clean(result)


def test_no_queue_at_all(shell: Shell) -> None:
    result = shell("jobs", "list")
    assert result.code == 2
    assert "set WORKERPOOL_URL, pass --url, or go to the folder where `workerpool up` runs" in result.err
    check_clean(result)


def test_the_option_wins_over_the_environment(shell: Shell, nowhere: str, database: str) -> None:
    assert shell("jobs", "list", "--url", database).code == 0


def test_database_url_is_understood(shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    assert shell("jobs", "list").code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERPOOL_MAX_PAYLOAD_BYTES", "lots"), ("WORKERPOOL_LEASE_SECONDS", "0"), ("WORKERPOOL_PROBE_PORT", "http")],
)
def test_a_variable_that_cannot_be_used(
    shell: Shell, nowhere: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = shell("jobs", "list")
    assert result.code == 2
    assert f"{name}: '{value}' is not" in result.err
    check_clean(result)


APPS = {
    "no_such_module": (None, "module 'no_such_module' not found"),
    "broken": ("1 / 0", "ZeroDivisionError"),
    "unparsable": ("def (", "SyntaxError"),
    "empty": ("", "declares no worker"),
    "secretive": (f"raise ValueError('postgresql://app:{PASSWORD}@db/queue')", "ValueError"),
}


@pytest.mark.parametrize("module", APPS)
def test_an_app_that_cannot_be_loaded(shell: Shell, nowhere: str, module: str) -> None:
    source, said = APPS[module]
    if source is not None:
        Path(f"{module}.py").write_text(source)
    for words in (("workers",), ("run", "--all", "--probe-port", 0)):
        result = shell(*words, "--app", module)
        assert result.code == 2
        assert said in result.err
        check_clean(result)


def test_an_unknown_worker_and_its_neighbour(shell: Shell, nowhere: str, app: str) -> None:
    result = shell("run", "notfy", "--app", app)
    assert result.code == 2
    assert "unknown worker 'notfy'; did you mean 'notify'?" in result.err
    check_clean(result)


def test_a_queue_that_no_worker_consumes(shell: Shell, nowhere: str, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_QUEUE", "odrers")
    result = shell("run", "--app", app)
    assert result.code == 2
    assert "no worker consumes 'odrers'" in result.err
    check_clean(result)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "notify", "--all"), "names and --all exclude each other"),
        (("run", "--app", "shop", "--log-file", "/dev/null/x.log"), "cannot write /dev/null/x.log"),
    ],
)
def test_options_of_run_that_cannot_be_used(
    shell: Shell, nowhere: str, app: str, words: tuple[str, ...], said: str
) -> None:
    result = shell(*words)
    assert result.code == 2
    assert said in result.err
    check_clean(result)


def test_several_processes_share_no_log_file(
    shell: Shell, nowhere: str, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_PROCESSES", "2")
    result = shell("run", "--app", app, "--log-file", "x.log")
    assert result.code == 2
    assert "redirect stderr" in result.err


def test_what_nobody_foresaw_is_one_line_too(shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"postgresql://app:{PASSWORD}@db/queue went wrong")

    monkeypatch.setattr("workerpool.cli.jobs.print_json", broken)
    result = shell("jobs", "list", "--json")
    assert result.code == 1
    assert "RuntimeError: postgresql://app:***@db/queue went wrong" in result.err
    assert "WORKERPOOL_LOG_LEVEL=debug" in result.err
    check_clean(result)
