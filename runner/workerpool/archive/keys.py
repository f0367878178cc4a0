"""Keys of objects, made from a template and a message's fields, such that no message can leave its place. Pure.

A field fills in a part of one segment (what stands between two slashes) and nothing else: it brings no slash, no
backslash, no control character, and can't make a segment empty or begin with a dot. Segments are also names of files
in servers that keep objects in folders, so what is no name there is none here.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workerpool.errors import ConfigError, InvalidPayload

MAX_KEY: Final = 1024
"""Bytes of a whole key, the limit of S3."""
MAX_VALUE: Final = 512
"""Bytes of one field's value in a key."""
SHOWN: Final = 60
"""Characters of a value that an error repeats."""
BATCH_WORDS: Final = ("queue", "date", "hour", "batch_id")
"""What the key of a batch may be made of."""

_TOKEN: Final = re.compile(r"\{([^{}/]+)\}|([^{}]+)")
_LARGEST: Final = 10**64
_UNSAFE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Part:
    """A literal text, or the name of the field that takes its place."""

    text: str
    is_field: bool


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A template that was found sound: its parts in order, and how it was written."""

    written: str
    parts: tuple[Part, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, once each, in the order of their first use."""
        return tuple(dict.fromkeys(part.text for part in self.parts if part.is_field))

    def key(self, values: Mapping[str, Any]) -> str:
        """The key of a message with these top-level fields. Raises InvalidPayload naming the field and the cure."""
        key = "".join(value_of(values, part.text) if part.is_field else part.text for part in self.parts)
        size = len(key.encode())
        if size > MAX_KEY:
            raise InvalidPayload(
                f"the object's key would have {size} bytes, S3 allows {MAX_KEY}: {shown(key)}; send shorter values "
                f"in {_listed(self.fields)}"
            )
        self._check_segments(key)
        return key

    def _check_segments(self, key: str) -> None:
        """A value has no slash, so the segments of the key are those of the template, one by one."""
        for segment, pattern in zip(key.split("/"), self.written.split("/"), strict=True):
            if not segment or segment in (".", "..") or (segment[0] == "." and pattern[0] != "."):
                names = [name for name in self.fields if f"{{{name}}}" in pattern]
                raise InvalidPayload(
                    f"field {_listed(names)}: {shown(segment)} can't stand between two slashes of an object's key: "
                    "it is empty or begins with a dot; send another value"
                )


def parse_template(written: str, *, field: str, allowed: Sequence[str] | None = None) -> KeyTemplate:
    """The template that ``written`` spells; ``field``: the setting it came from. ``allowed``: its only names, if any.

    Raises ConfigError naming the setting, the value and the cure.
    """
    parts = tuple(Part(match[1] or match[2], is_field=match[1] is not None) for match in _TOKEN.finditer(written))
    spelt = "".join(f"{{{part.text}}}" if part.is_field else part.text for part in parts)
    fault = _fault(written, parts) if spelt == written else "a brace is not closed, or is empty or around a slash"
    if fault is None and allowed is not None:
        unknown = [part.text for part in parts if part.is_field and part.text not in allowed]
        fault = f"{{{unknown[0]}}} is unknown; use {_listed(allowed)}" if unknown else None
    if fault is not None:
        raise ConfigError(f"{field}: {shown(written)} is no template of keys: {fault}")
    return KeyTemplate(written, parts)


def parse_batch_template(written: str, *, field: str) -> KeyTemplate:
    """The template of batches' keys, as ``parse_template``; without {batch_id} batches would replace each other."""
    template = parse_template(written, field=field, allowed=BATCH_WORDS)
    if "batch_id" not in template.fields:
        raise ConfigError(f"{field}: {shown(written)} lacks {{batch_id}}: every batch would replace the one before it")
    return template


def value_of(values: Mapping[str, Any], name: str) -> str:
    """The text that the field ``name`` puts into a key. Raises InvalidPayload."""
    value = values.get(name)
    if value is None:
        missing = "is null" if name in values else "is missing"
        raise InvalidPayload(
            f"field {name!r} {missing}; send it as text or as a whole number: the object's key needs it"
        )
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return str(value)
    if type(value) is not str:
        raise InvalidPayload(f"field {name!r}: {shown(value)} is neither text nor a whole number of at most 64 digits")
    fault = _fault_of_value(value)
    if fault is not None:
        raise InvalidPayload(
            f"field {name!r}: {shown(value)} {fault}; send a value that can be part of an object's key"
        )
    return value


def require(values: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raises InvalidPayload for the first of ``names`` that is missing or null."""
    for name in names:
        if values.get(name) is None:
            raise InvalidPayload(f"field {name!r} is missing or null; send it: the archive is told to require it")


def shown(value: object) -> str:
    """``value`` for an error: quoted, escaped and short."""
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        return "a number of more than 64 digits"
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def _fault_of_value(value: str) -> str | None:
    if not value:
        return "is empty"
    if any(unicodedata.category(character) in _UNSAFE for character in value):
        return "holds a control character"
    if "/" in value or "\\" in value:
        return "holds a slash or a backslash"
    size = len(value.encode())
    return f"has {size} bytes, more than {MAX_VALUE}" if size > MAX_VALUE else None


def _fault(written: str, parts: Sequence[Part]) -> str | None:
    """What is wrong with a template whose braces are in order."""
    if not any(part.is_field for part in parts):
        return "it has no {field}, so every object would replace the one before it"
    if "\\" in written or any(unicodedata.category(character) in _UNSAFE for character in written):
        return "it holds a backslash or a control character"
    if any(segment in ("", ".", "..") for segment in written.split("/")):
        return "it begins or ends with a slash, or has an empty, . or .. segment; write for example a/{id}.json"
    size = len(written.encode())
    return f"it has {size} bytes; S3 allows {MAX_KEY} for a whole key" if size > MAX_KEY else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
