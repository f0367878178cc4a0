"""Loading an app, choosing its workers and giving each a queue."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.registry import check_names, load_app, select, subscriptions
from workerpool.sources.base import Subscription
from workerpool.worker import definition_of, worker

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into a folder of its own and returns the module's name; forgets it afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def module(name: str, text: str) -> str:
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return name

    yield module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def declare(name: str, topic: str, group_id: str | None = None) -> WorkerDefinition:
    async def handle(job: dict[str, Any]) -> None: ...

    return definition_of(worker(topic, name=name, group_id=group_id)(handle))


APP = """
from workerpool import worker

@worker(topic="orders")
async def notify(order: dict) -> None: ...

@worker(topic="mails")
def send(mail): ...
"""


def test_an_app_is_its_workers_in_the_order_of_the_file(write: Write, tmp_path: Path) -> None:
    definitions = load_app(write("shop_ok", APP), folder=str(tmp_path))
    assert [definition.name for definition in definitions] == ["notify", "send"]
    assert str(definitions[0].origin) == "shop_ok:4"


def test_a_missing_module_is_named_with_where_it_was_looked_for(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_app("no_such_shop.workers", folder=str(tmp_path))
    assert "module 'no_such_shop.workers' not found: no 'no_such_shop' in " + str(tmp_path) in str(caught.value)
    assert "run the command in the folder that holds it" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "x = 1\nimport not_installed\n",
            ("No module named 'not_installed'", "line 2", "install that"),
        ),
        (
            "def f():\n    return 1 / 0\n\nf()\n",
            ("ZeroDivisionError: division by", "line 2", "nothing was started"),
        ),
        ("def f(:\n", ("SyntaxError", "line 1")),
        ("raise SystemExit(3)\n", ("SystemExit: 3", "line 1")),
        ("from workerpool import worker\n\n@worker('a', concurrency=0)\ndef f(x): ...\n", ("concurrency=0", "line 3")),
    ],
)
def test_an_error_in_the_users_module_names_module_line_and_error(
    write: Write, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    name = write("shop_broken", text)
    with pytest.raises(ConfigError) as caught:
        load_app(name, folder=str(tmp_path))
    message = str(caught.value)
    for word in ("shop_broken.py", *words):
        assert word in message
    assert "Traceback" not in message


def test_a_module_without_workers_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="module 'shop_empty' declares no worker"):
        load_app(write("shop_empty", "x = 1\n"), folder=str(tmp_path))


def test_two_workers_of_one_name_are_refused_naming_both_places(write: Write, tmp_path: Path) -> None:
    twice = "from workerpool import worker\n@worker('a')\ndef f(x): ...\n@worker('b')\ndef f(x): ...\n"
    with pytest.raises(ConfigError, match=r"two workers are called 'f': shop_twice:2 and shop_twice:4; rename one"):
        load_app(write("shop_twice", twice), folder=str(tmp_path))


def test_a_module_imported_again_declares_nothing_twice(write: Write, tmp_path: Path) -> None:
    name = write("shop_again", APP)
    load_app(name, folder=str(tmp_path))
    del sys.modules[name]
    assert len(load_app(name, folder=str(tmp_path))) == 2


def test_names_select_workers_in_the_order_asked() -> None:
    one, two, three = (declare(name, name) for name in ("one", "two", "three"))
    assert select([one, two, three], ["three", "one", "three"]) == (three, one)
    assert select([one, two], []) == (one, two)


def test_an_unknown_worker_is_answered_with_the_known_ones() -> None:
    definitions = [declare("notify", "a"), declare("send", "b")]
    with pytest.raises(ConfigError, match=r"unknown worker 'notfy'; did you mean 'notify'\? Known .*: notify, send"):
        select(definitions, ["notfy"])
    with pytest.raises(ConfigError, match=r"unknown worker 'zzz'; Known workers: notify, send"):
        select(definitions, ["zzz"])


def test_a_worker_alone_on_its_topic_consumes_the_queue_of_that_name() -> None:
    assert subscriptions([declare("one", "orders")]) == {"one": Subscription("orders", "orders")}


def test_a_group_has_a_queue_of_its_own() -> None:
    found = subscriptions([declare("one", "orders"), declare("two", "orders", "audit")])
    assert found == {"one": Subscription("orders", "orders"), "two": Subscription("orders", "orders@audit")}


def test_ungrouped_workers_on_one_topic_each_get_every_message() -> None:
    found = subscriptions([declare("one", "orders"), declare("two", "orders"), declare("three", "mails")])
    assert found == {
        "one": Subscription("orders", "orders@one"),
        "two": Subscription("orders", "orders@two"),
        "three": Subscription("mails", "mails"),
    }


def test_two_workers_of_one_group_on_one_topic_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'one' .* and 'two' .* are both group 'g' of topic 'orders'"):
        subscriptions([declare("one", "orders", "g"), declare("two", "orders", "g")])


def test_distinct_names_pass() -> None:
    check_names([declare("one", "a"), declare("two", "a")])
