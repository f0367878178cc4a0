"""The harness of tests/e2e/test_docs.py can itself say no."""

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.executable_docs import Block, Command, blocks, commands, parse

PAGE = """# Title
```console
$ echo one
one
$ cat <<EOT
> two
> EOT
```
- In a list:
  ```json covered-by=tests/x.py
  {"a": 1}
  ```
"""


def _block(body: str, *words: str) -> Block:
    return Block(Path("page.md"), 1, words, body)


def test_blocks_of_a_page_are_found_with_their_line_and_words(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    console, data = blocks(page)

    assert (console.line, console.language, console.covered_by) == (2, "console", None)
    assert (data.line, data.body, data.covered_by) == (10, '{"a": 1}\n', "tests/x.py")


def test_commands_are_read_with_continuations_and_outputs() -> None:
    block = _block("$ echo one\none\n$ cat <<EOT\n> two\n> EOT\n", "console")
    assert commands(block) == [Command(2, "echo one", "one\n"), Command(4, "cat <<EOT\ntwo\nEOT", "")]


def test_console_block_must_begin_with_a_command() -> None:
    with pytest.raises(ValueError, match=r"page\.md:2: a console block begins with a command"):
        commands(_block("output\n", "console"))


@pytest.mark.parametrize(
    ("expected", "output", "matches"),
    [
        ("", "anything\n", True),
        ("3 jobs\n", "3 jobs\n", True),
        ("3 jobs\n", "4 jobs\n", False),
        ("… jobs in … s\n", "3 jobs in 0.1 s\n", True),
        ("first\n…\nlast\n", "first\na\nb\nlast\n", True),
        ("first\n…\nlast\n", "first\na\nb\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_promised_output_is_compared(*, expected: str, output: str, matches: bool) -> None:
    assert Command(1, "x", expected).matches(output) is matches


@pytest.mark.parametrize(
    ("language", "body", "error"),
    [("python", "x =", SyntaxError), ("json", "{", json.JSONDecodeError), ("yaml", "a: [", yaml.YAMLError)],
)
def test_malformed_blocks_are_refused(language: str, body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(_block(body, language))


def test_python_blocks_may_await_at_the_top_level() -> None:
    parse(_block("await publish('topic', {})\n", "python"))
