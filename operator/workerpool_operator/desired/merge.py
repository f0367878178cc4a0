"""The user's partial pod template over the generated one, by the rules of a strategic merge.

Maps are merged deeply; null removes. Lists of named things (`KEYS`) are merged by their identity, an item with
``$patch: delete`` is removed, and every other list replaces ours. Of things that exclude each other (the handlers of a
probe, a variable's value and its reference, the kinds of a volume) the user's one replaces ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workerpool_operator.desired.keys import KEYS, Identity, identity

MERGED: Final = frozenset(KEYS) - {"topologySpreadConstraints"}
"""That one is identified by what a user may want to change."""

WHOLE: Final = frozenset({"env", "volumes"})
"""Items that hold one of several kinds of value, and nothing that would be worth keeping."""

EXCLUSIVE: Final = frozenset({"exec", "grpc", "httpGet", "sleep", "tcpSocket"})
"""Handlers of a probe or hook, of which there may be one."""

SHOWN: Final = 40
"""Characters of a wrong value that an error repeats."""

DIRECTIVE: Final = "$patch"


class Misfit(Exception):
    """The user's part has another form than what it is merged over; the message names the field and the cure."""


def merge(base: Mapping[str, Any], patch: Mapping[str, Any], path: str) -> dict[str, Any]:
    """``patch`` over ``base``, which stay as they are. ``path``: where the patch stands. Raises Misfit."""
    replaced = EXCLUSIVE if any(patch.get(name) is not None for name in EXCLUSIVE) else frozenset()
    result = {key: value for key, value in base.items() if key not in replaced or key in patch}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value, key, f"{path}.{key}")
    return result


def _merged(base: Any, value: Any, key: str, path: str) -> Any:  # noqa: ANN401 - any part of a document
    if isinstance(base, Mapping) and not isinstance(value, Mapping):
        raise Misfit(f"{path}: {_short(value)} is not a map; write its fields below it")
    if isinstance(base, list) and not isinstance(value, list):
        raise Misfit(f"{path}: {_short(value)} is not a list; put a dash before each item")
    if isinstance(value, Mapping):
        return merge(base if isinstance(base, Mapping) else {}, value, path)
    if isinstance(value, list):
        return _list(base or [], value, key, path) if key in MERGED else [_copy(item) for item in value]
    return value


def _list(base: Sequence[Mapping[str, Any]], patch: Sequence[Any], key: str, path: str) -> list[Any]:
    result: dict[Identity, Mapping[str, Any]] = {identity(item, KEYS[key]): item for item in base}
    for number, item in enumerate(patch):
        here = f"{path}[{number}]"
        who = _identity(item, key, here)
        if item.get(DIRECTIVE) == "delete":
            result.pop(who, None)
        elif who in result and key not in WHOLE:
            result[who] = merge(result[who], item, here)
        else:
            result[who] = merge({}, item, here)
    return list(result.values())


def _identity(item: Any, key: str, path: str) -> Identity:  # noqa: ANN401 - as the user wrote it
    if not isinstance(item, Mapping):
        raise Misfit(f"{path}: {_short(item)} is not a map; items of {key} are maps with the field {KEYS[key][0]}")
    who = identity(item, KEYS[key])
    if not all(isinstance(part, str | int) for part in who):
        raise Misfit(f"{path}: lacks the field {KEYS[key][0]}, by which items of {key} are merged; add it")
    return who


def _copy(value: Any) -> Any:  # noqa: ANN401 - any part of a document
    if isinstance(value, Mapping):
        return {key: _copy(part) for key, part in value.items() if part is not None}
    return [_copy(part) for part in value] if isinstance(value, list) else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
