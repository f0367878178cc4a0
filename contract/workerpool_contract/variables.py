"""Reading and writing of single environment variables: text to value and back, with errors that name the cure.

A variable may have older names (those of the services that WorkerPool replaces). The WORKERPOOL_ name wins; among
the older ones the first that is set.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class SettingsError(ValueError):
    """A variable of the environment can't be used: the message names it, its value and the cure."""


@dataclass(frozen=True, slots=True)
class Alias:
    """An older name; numbers under it are multiplied by ``scale`` (0.001 for milliseconds)."""

    name: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: which field of the settings it fills, how text becomes a value, and its older names.

    ``parse`` raises ValueError with the expectation in words ("a whole number from 1 to 1000"). A ``secret`` value is
    never repeated in errors.
    """

    name: str
    field: str
    parse: Callable[[str, float], Any]
    aliases: tuple[Alias, ...] = ()
    secret: bool = False

    def read(self, environ: Mapping[str, str]) -> Any:  # noqa: ANN401 - the field's own type, checked by the settings
        """The value, or None when no name is set or it is blank. Raises SettingsError."""
        for alias in (Alias(self.name), *self.aliases):
            text = environ.get(alias.name, "").strip()
            if text:
                return self._parse(alias, text)
        return None

    def _parse(self, alias: Alias, text: str) -> Any:  # noqa: ANN401 - as read
        try:
            return self.parse(text, alias.scale)
        except ValueError as error:
            shown = "its value" if self.secret else repr(text[:80])
            msg = f"{alias.name}: {shown} is not {error}; correct the variable or unset it"
            raise SettingsError(msg) from None


def integer(low: int, high: int) -> Callable[[str, float], int]:
    """A parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str, _scale: float) -> int:
        if re.fullmatch(r"-?[0-9]{1,18}", text) and low <= int(text) <= high:
            return int(text)
        expected = f"a whole number from {low} to {high}"
        raise ValueError(expected)

    return parse


def seconds(low: float, high: float) -> Callable[[str, float], float]:
    """A parser of durations; the result is in seconds, from ``low`` to ``high``."""

    def parse(text: str, scale: float) -> float:
        unit = "milliseconds" if scale != 1.0 else "seconds"
        expected = f"a number of {unit} from {low / scale:g} to {high / scale:g}"
        try:
            value = float(text) * scale
        except ValueError:
            raise ValueError(expected) from None
        if not low <= value <= high:
            raise ValueError(expected)
        return value

    return parse


def choice(*allowed: str) -> Callable[[str, float], str]:
    """A parser of one of the ``allowed`` words, in any case; the result is spelt as listed."""

    def parse(text: str, _scale: float) -> str:
        for word in allowed:
            if word.lower() == text.lower():
                return word
        expected = f"one of {', '.join(allowed)}"
        raise ValueError(expected)

    return parse


def truth(text: str, _scale: float) -> bool:
    """A parser of yes and no in their usual spellings."""
    spellings = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    if text.lower() not in spellings:
        expected = "true or false"
        raise ValueError(expected)
    return spellings[text.lower()]


def web(text: str, _scale: float) -> str:
    """A parser of http:// and https:// URLs."""
    if re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        return text
    expected = "a URL that begins with http:// or https://"
    raise ValueError(expected)


def words(text: str, _scale: float) -> tuple[str, ...]:
    """A parser of a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def plain(text: str, _scale: float) -> str:
    """A parser that keeps the text."""
    return text


def write(value: object) -> str:
    """The text that the parsers above turn back into ``value``."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
