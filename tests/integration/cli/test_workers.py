"""`workerpool workers` prints what the framework before it printed."""

from pathlib import Path

from tests.integration.cli.conftest import Shell


def test_lists_workers_in_the_known_layout(shell: Shell, app: str) -> None:
    result = shell("workers", "--app", app)
    assert result.code == 0
    assert result.out == (
        "  notify\n"
        "    Input:  orders\n"
        "    Output: done\n"
        "    Concurrency: 5\n"
        "    Retries: 3\n"
        "\n"
        "  audit\n"
        "    Input:  events\n"
        "    Queue:  events@audit\n"
        "    Output: -\n"
        "    Concurrency: 10\n"
        "    Retries: 1\n"
    )


def test_lists_workers_as_json(shell: Shell, app: str) -> None:
    found = shell("workers", "--app", app, "--json").json
    assert [it["name"] for it in found] == ["notify", "audit"]
    assert found[1]["queue"] == "events@audit"
    assert found[0]["deadLetters"] is None


def test_an_app_must_be_named(shell: Shell) -> None:
    result = shell("workers")
    assert result.code == 2
    assert "pass --app MODULE or set WORKERPOOL_APP" in result.err


def test_duplicate_names_are_refused_with_both_places(shell: Shell) -> None:
    Path("shop.py").write_text(
        "from workerpool import worker\n"
        "@worker(topic='a', name='twin')\n"
        "async def one(x: dict) -> None: ...\n"
        "@worker(topic='b', name='twin')\n"
        "async def two(x: dict) -> None: ...\n"
    )
    result = shell("workers", "--app", "shop")
    assert result.code == 2
    assert "'twin'" in result.err
    assert "shop:2 and shop:4" in result.err
    assert "Traceback" not in result.err
