"""Every command explains itself, says its exit codes, speaks JSON, and completes."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from tests.integration.cli.conftest import Shell
from workerpool.cli import main as root
from workerpool.cli.main import cli
from workerpool_contract.names import COMMANDS_GROUP

DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"
OWN = ("completion", "dlq", "doctor", "enqueue", "jobs", "migrate", "run", "topics", "topology", "workers")


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = [(name, cli.get_command(context, name)) for name in OWN]
    return {" ".join(path): it for name, top in found if top for path, it in leaves(top, (name,))}


COMMANDS = commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(shell: Shell, name: str) -> None:
    result = shell(*name.split(), "--help")
    assert result.code == 0
    assert "Exit codes: 0 " in result.out
    assert "--json" in result.out
    helps = {it.opts[0]: it.help for it in COMMANDS[name].params if isinstance(it, click.Option)}
    assert [text for text in helps.values() if not text or not text.endswith(".")] == []


def test_up_says_its_exit_codes_too(shell: Shell) -> None:
    assert "Exit codes: 0 drained and stopped, 1 something failed, 2 bad input" in shell("up", "--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_describes_every_command_and_option(name: str) -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert f"workerpool {name}" in page
    options = [opt for it in COMMANDS[name].params for opt in it.opts if opt.startswith("--")]
    assert [option for option in options if f"`{option}" not in page] == []


def test_the_page_invents_no_option() -> None:
    known = {opt for it in COMMANDS.values() for param in it.params for opt in (*param.opts, *param.secondary_opts)}
    page = DOCUMENT.read_text(encoding="utf-8")
    mentioned = {word.split("=")[0] for word in page.replace("`", " ").replace("|", " ").split() if word[:2] == "--"}
    assert {word.rstrip(".,:;)") for word in mentioned} - {"--", "---"} <= known | {"--help", "--version"}


def test_the_list_of_commands_survives_one_that_cannot_be_loaded(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:it", COMMANDS_GROUP)
    real = root._entries()
    monkeypatch.setattr(root, "_entries", lambda: (*real, broken))
    result = shell("--help")
    assert result.code == 0
    assert "Put jobs on QUEUE" in result.out
    assert "not available" in result.out
    assert shell("broken").code == 2


@pytest.mark.parametrize(
    ("name", "mark"), [("bash", "complete "), ("zsh", "#compdef workerpool"), ("fish", "complete ")]
)
def test_completion_scripts(shell: Shell, name: str, mark: str) -> None:
    result = shell("completion", name)
    assert result.code == 0
    assert mark in result.out
    assert "_WORKERPOOL_COMPLETE" in result.out
    assert shell("completion", "tcsh").code == 2


@pytest.mark.parametrize(
    ("words", "offered"),
    [("workerpool d", {"dlq", "doctor"}), ("workerpool jobs ", {"list", "show", "retry", "cancel"})],
)
def test_completion_completes(words: str, offered: set[str]) -> None:
    program = Path(sys.executable).with_name("workerpool")
    done = subprocess.run(
        [program],
        env={
            "_WORKERPOOL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered
