"""Errors as text."""

import json

import pytest

from workerpool.errors import InvalidPayload, TerminalError
from workerpool.tracebacks import MAX_MESSAGE, describe, headline, message, user_frames


def caught(text: str = "no stock") -> Exception:
    """An error with a cause, raised here."""
    with pytest.raises(ValueError, match=text) as caught:
        raise ValueError(text) from KeyError("sku")
    return caught.value


def test_type_message_cause_and_place() -> None:
    first, second, third = describe(caught()).splitlines()
    assert (first, second) == ("ValueError: no stock", "caused by KeyError: 'sku'")
    assert third.startswith("  at tests.unit.runner.test_tracebacks:")
    assert third.endswith(" in caught")


def test_the_message_alone_unless_it_says_nothing() -> None:
    assert message(ValueError("no stock")) == "no stock"
    assert message(ValueError()) == "ValueError"
    assert message(KeyError("sku")) == "KeyError: 'sku'"
    assert headline(ValueError()) == "ValueError"


def test_what_is_invalid_is_told_alike_whoever_found_it_out() -> None:
    assert describe(InvalidPayload("field 'id' is missing")) == "field 'id' is missing"
    assert headline(InvalidPayload()) == "InvalidPayload"
    assert headline(TerminalError("no")) == "TerminalError: no"


def test_library_frames_are_left_out_but_for_the_one_that_raised() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    ours, theirs = user_frames(caught.value)
    assert "test_tracebacks" in ours
    assert theirs.startswith("json.decoder:")


def test_a_long_message_is_cut_with_its_length() -> None:
    text = headline(ValueError("x" * 5000))
    assert text == f"ValueError: {'x' * MAX_MESSAGE}… (5000 characters)"


def test_the_text_fits_into_any_database() -> None:
    assert headline(ValueError("a\x00b\ud800")) == "ValueError: a\\x00b\\ud800"


def test_secrets_are_masked() -> None:
    assert "hunter22" not in describe(caught("postgres://u:hunter22@h/db"))
