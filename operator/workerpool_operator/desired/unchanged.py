"""Whether an object needs no write: the API server already holds all that would be applied, and nothing else of ours.

A live object has more fields than an applied one: defaults, and what others own. So each of our fields is looked for in
it. What a hand changed differs, and what was ours and is not wanted any more is still recorded as ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workerpool_contract import names
from workerpool_operator.desired.keys import KEYS, identity
from workerpool_operator.desired.ownership import Fields, below, below_item, dropped, owned
from workerpool_operator.desired.quantity import amount

ATOMIC: Final = frozenset({"matchLabels", "nodeSelector"})
"""Maps that have one owner as a whole: a key more is a change."""

QUANTITIES: Final = frozenset({"limits", "overhead", "requests"})
"""Maps whose values are amounts, which the API server writes in its own way."""

AMOUNTS: Final = frozenset({"divisor", "sizeLimit"})
"""Single amounts."""

NAMING: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"apiVersion", "kind"}),
    "metadata": frozenset({"name", "namespace"}),
}
"""Fields that say which object it is: nobody owns them, and objects in a list lack the first two."""


def unchanged(applied: Mapping[str, Any], live: Mapping[str, Any], manager: str = names.MANAGER) -> bool:
    """Whether applying ``applied`` as ``manager`` would leave ``live`` (an object of the API server) as it is.

    Without managedFields only values are compared.
    """
    fields = owned(live, manager)
    wanted = {key: value for key, value in applied.items() if key not in NAMING[""]}
    metadata = wanted.get("metadata", {})
    wanted["metadata"] = {key: value for key, value in metadata.items() if key not in NAMING["metadata"]}
    return not dropped(fields, wanted) and _holds(live, wanted, fields)


def _holds(live: Mapping[str, Any], wanted: Mapping[str, Any], fields: Fields) -> bool:
    """Whether every field of ``wanted`` is in ``live`` and among ``fields``, which are ours."""
    return all(
        (tree := below(fields, key)) is not None and _same(live.get(key), value, key, tree)
        for key, value in wanted.items()
        if value or key not in KEYS  # without items, such a list is neither stored nor recorded
    )


def _same(found: Any, value: Any, key: str, fields: Fields) -> bool:  # noqa: ANN401 - parts of documents
    if found is None:
        return not value  # the API server leaves out what is empty
    if key in ATOMIC:
        return bool(found == value)
    if isinstance(value, Mapping):
        if key in QUANTITIES:
            found, value = _amounts(found), _amounts(value)
        return isinstance(found, Mapping) and _holds(found, value, fields)
    if isinstance(value, list):
        return isinstance(found, list) and _same_list(found, value, key, fields)
    return _same_scalar(found, value, key)


def _same_list(live: Sequence[Any], wanted: Sequence[Any], key: str, fields: Fields) -> bool:
    if key not in KEYS or not all(isinstance(item, Mapping) for item in wanted):
        return len(live) == len(wanted) and all(
            _same(found, item, "", {}) for found, item in zip(live, wanted, strict=True)
        )
    present = {identity(item, KEYS[key]): item for item in live}
    return all(
        (tree := below_item(fields, item)) is not None and _same(present.get(identity(item, KEYS[key])), item, "", tree)
        for item in wanted
    )


def _same_scalar(found: object, value: object, key: str) -> bool:
    if key in AMOUNTS:
        found, value = _amount(found), _amount(value)
    return found == value and isinstance(found, bool) == isinstance(value, bool)  # True equals 1 in Python alone


def _amounts(value: Any) -> Any:  # noqa: ANN401 - a part of a document
    return {name: _amount(part) for name, part in value.items()} if isinstance(value, Mapping) else value


def _amount(value: object) -> object:
    found = amount(value)
    return value if found is None else found
