"""What a field manager owns of an object, read from the object's managedFields.

The API server records each owned field as a path: ``f:NAME`` a field, ``k:{…}`` the item with these fields, ``v:…`` an
item of a set, ``.`` the thing itself.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workerpool_operator.desired.keys import DEFAULTS

Fields = Mapping[str, Any]
"""Steps to the trees below them. An empty tree is owned with all that it holds."""


def owned(live: Mapping[str, Any], manager: str) -> Fields:
    """The tree of fields that ``manager`` applied to ``live``; empty when nobody recorded it."""
    for entry in live.get("metadata", {}).get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: Fields = entry.get("fieldsV1") or {}
            return fields
    return {}


def below(fields: Fields, name: str) -> Fields | None:
    """The tree under a field; None when it isn't owned."""
    return fields.get(f"f:{name}") if fields else fields


def below_item(fields: Fields, item: Any) -> Fields | None:  # noqa: ANN401 - any item of a list
    """The tree under ``item`` of a list; None when it isn't owned."""
    return next((tree for step, tree in fields.items() if _is_step_to(step, item)), None) if fields else fields


def dropped(fields: Fields, wanted: Any) -> bool:  # noqa: ANN401 - any part of a document
    """Whether something that is owned is not in ``wanted``: applying ``wanted`` would remove it."""
    return any(_is_dropped(step, tree, wanted) for step, tree in fields.items())


def _is_dropped(step: str, tree: Fields, wanted: Any) -> bool:  # noqa: ANN401 - any part of a document
    if step.startswith("f:"):
        name = step[2:]
        return not isinstance(wanted, Mapping) or name not in wanted or dropped(tree, wanted[name])
    if step.startswith(("k:", "v:")):
        items: Sequence[Any] = wanted if isinstance(wanted, list) else ()
        item = next((it for it in items if _is_step_to(step, it)), None)
        return item is None or dropped(tree, item)
    return False


def _is_step_to(step: str, item: Any) -> bool:  # noqa: ANN401 - any item of a list
    kind, _, text = step.partition(":")
    if kind == "v":
        return bool(json.loads(text) == item)
    if kind != "k" or not isinstance(item, Mapping):
        return False
    return all(item.get(name, DEFAULTS.get(name)) == value for name, value in json.loads(text).items())
