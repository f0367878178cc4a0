"""Keys of objects: what a message may put into one, and that nothing gets out of its place."""

import posixpath
import unicodedata
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from workerpool.archive.keys import BATCH_WORDS, MAX_KEY, parse_batch_template, parse_template
from workerpool.errors import ConfigError, InvalidPayload
from workerpool_contract.archive import DEFAULT_BATCH_KEY, DEFAULT_KEY, ArchiveSpec

DEFAULT = parse_template(DEFAULT_KEY, field="template")

NASTY = st.sampled_from(
    ["..", ".", "/", "\\", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\ud800", "%2e", "a", "é", " "]
)
TEXTS = st.text() | st.lists(NASTY, max_size=6).map("".join) | st.text(min_size=400, max_size=700)
VALUES = (
    st.sampled_from(["u1", ".x", "a.b", 7])
    | TEXTS
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.lists(st.integers(), max_size=2)
)
SEGMENTS = st.lists(st.sampled_from(["{a}", "{b}", "x", ".json", "-", "..", ""]), min_size=1, max_size=3).map("".join)
TEMPLATES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


@given(TEMPLATES, st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES}))
def test_a_key_never_leaves_the_place_that_its_template_gives_it(written: str, values: dict[str, Any]) -> None:
    try:
        template = parse_template(written, field="template")
        key = template.key(values)
    except (ConfigError, InvalidPayload) as error:
        event(type(error).__name__)
        return
    event("a key")
    assert posixpath.normpath(f"/bucket/{key}") == f"/bucket/{key}"
    assert key.count("/") == written.count("/")
    assert "\\" not in key
    assert not {unicodedata.category(character) for character in key} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(key.encode()) <= MAX_KEY
    for segment, pattern in zip(key.split("/"), written.split("/"), strict=True):
        assert not segment.startswith(".") or pattern.startswith("."), "a field hid a segment"


@given(TEXTS, st.integers(-(10**30), 10**30))
def test_sound_values_stand_in_the_key_as_they_are(user: str, number: int) -> None:
    try:
        key = DEFAULT.key({"user_id": user, "session_uuid": number})
    except InvalidPayload:
        return
    assert key == f"sessions/{user}/{number}.json"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("../etc", "'../etc' holds a slash or a backslash"),
        ("a\\b", "holds a slash or a backslash"),
        ("..", "'..' can't stand between two slashes"),
        (".", "can't stand between two slashes"),
        (".hidden", "begins with a dot"),
        ("", "is empty"),
        ("a\nb", r"'a\nb' holds a control character"),
        ("\u2028", "holds a control character"),
        ("x" * 513, "has 513 bytes, more than 512"),
        (None, "is null; send it as text or as a whole number"),
        (1.5, "1.5 is neither text nor a whole number"),
        (True, "True is neither text nor a whole number"),
        ([1], "[1] is neither text nor a whole number"),
        (10**100, "a number of more than 64 digits"),
    ],
)
def test_a_bad_value_is_named_with_its_field(value: object, words: str) -> None:
    with pytest.raises(InvalidPayload) as raised:
        DEFAULT.key({"user_id": value, "session_uuid": "s"})
    message = str(raised.value)
    assert "user_id" in message
    assert words in message
    assert len(message) < 300


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidPayload, match="field 'session_uuid' is missing; send it as text or as a whole number"):
        DEFAULT.key({"user_id": "u"})


def test_parts_of_a_segment_may_begin_with_a_dot_and_two_fields_make_no_step_upwards() -> None:
    template = parse_template("{a}{b}/x{a}", field="template")
    assert template.key({"a": "1", "b": ".b"}) == "1.b/x1"
    with pytest.raises(InvalidPayload, match=r"field a, b: '\.\.' can't stand between two slashes"):
        template.key({"a": ".", "b": "."})


def test_a_key_is_at_most_1024_bytes_long() -> None:
    template = parse_template("{a}/{b}/{c}", field="template")
    with pytest.raises(InvalidPayload, match="would have 1202 bytes, S3 allows 1024"):
        template.key(dict.fromkeys("abc", "é" * 200))


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "/{a}",
        "{a}/",
        "a//{b}",
        "../{a}",
        "{a}/./b",
        "{a",
        "a}",
        "{}",
        "{a/b}",
        "{a}\\b",
        "{a}\n",
        "x" * 1030 + "{a}",
    ],
)
def test_an_unsound_template_is_refused_before_anything_starts(written: str) -> None:
    with pytest.raises(ConfigError, match=r"^KEY: .* is no template of keys: "):
        parse_template(written, field="KEY")


def test_batches_have_words_of_their_own() -> None:
    assert parse_batch_template(DEFAULT_BATCH_KEY, field="B").fields == ("date", "hour", "batch_id")
    with pytest.raises(ConfigError, match=r"\{user_id\} is unknown; use queue, date, hour, batch_id"):
        parse_batch_template("{user_id}/{batch_id}", field="B")
    with pytest.raises(ConfigError, match=r"lacks \{batch_id\}"):
        parse_batch_template("{date}", field="B")
    assert parse_batch_template("/".join(f"{{{word}}}" for word in BATCH_WORDS), field="B").fields == BATCH_WORDS


@given(TEMPLATES)
def test_the_manifest_takes_every_template_that_the_worker_takes(written: str) -> None:
    try:
        parse_template(written, field="template")
    except ConfigError:
        return
    assert ArchiveSpec.model_validate({"keyTemplate": written}).key_template == written
