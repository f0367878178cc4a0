"""Validation errors in the words of the manifest: which field, which value, and what to write instead. Pure."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from workerpool_operator.yamltree import Path

SHOWN = 60

# Kinds of pydantic errors that read alike.
_SAME = {
    "int_parsing": "int_type",
    "int_from_float": "int_type",
    "literal_error": "enum",
    "model_attributes_type": "model_type",
    "dict_type": "model_type",
    "int_parsing_size": "int_type",
}
_WORDS = {
    "missing": "is missing; add it: {about}",
    "value_error": "{error}",
    "string_type": "{shown} is not text; put it in quotes",
    "tuple_type": "{shown} is not a list; write one: [first, second]",
    "int_type": "{shown} is not a whole number; write one without quotes",
    "greater_than_equal": "{shown} is too small; the least is {ge}",
    "less_than_equal": "{shown} is too large; the most is {le}",
    "enum": "{shown} is not known; use {expected}",
    "string_pattern_mismatch": "{shown} has a form that is not allowed here; {about} ({pattern})",
    "model_type": "{shown} is not a group of fields; {about}",
}


def explain(error: ErrorDetails, root: type[BaseModel]) -> str:
    """One line for one error of a model under ``root``: "spec.scaling.maxReplicas: 0 is too small; …"."""
    path = place(error)
    words = _words(error, root, path)
    return f"{dotted(path)}: {words}" if path else words


def place(error: ErrorDetails) -> Path:
    """Where the error is: the field that a rule between fields speaks of, or the object that was being read."""
    path: Path = error["loc"]
    if error["type"] == "misfit":
        return (*path, *error["ctx"]["path"])
    return path[:-1] if path and path[-1] == "[key]" else path


def dotted(path: Path) -> str:
    """A path as people write it: spec.worker.names[0]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint at the nearest of the ``known`` words, or all of them."""
    near = get_close_matches(word, known, n=1, cutoff=0.6) or _same_letters(word, known)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"


def _same_letters(word: str, known: list[str]) -> list[str]:
    return [other for other in known if other.lower() == word.lower().replace("_", "").replace("-", "")]


def _words(error: ErrorDetails, root: type[BaseModel], path: Path) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    shown = _shown(error["input"])
    kind = _SAME.get(error["type"], error["type"])
    if kind == "extra_forbidden":
        return _unknown(root, path)
    if kind == "misfit":
        return str(context["words"]).removeprefix(f"{dotted(context['path'])} ")
    about = _description(root, path)
    if kind in _WORDS:
        return _WORDS[kind].format(shown=shown, about=about, **context)
    return f"{shown} can't be used: {error['msg']}; {about}"


def _unknown(root: type[BaseModel], path: Path) -> str:
    """What to do about a field that isn't there: the same name one level down, or a name like it."""
    name, parent = str(path[-1]), path[:-1]
    inside = next((field for field in _fields(root, parent) if name in _fields(root, (*parent, field))), None)
    if inside:
        return f"unknown field here; move it into {dotted((*parent, inside))}"
    return f"unknown field; {did_you_mean(name, _fields(root, parent))}"


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _model(root: type[BaseModel], path: Path) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, str):
            model = _model_in(_annotation(model, part)) if model else None
    return model


def _annotation(model: type[BaseModel], alias: str) -> object:
    return next((field.annotation for field in model.model_fields.values() if field.alias == alias), None)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _fields(root: type[BaseModel], path: Path) -> list[str]:
    model = _model(root, path)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _description(root: type[BaseModel], path: Path) -> str:
    """The first sentence of the field's documentation."""
    names = [part for part in path if isinstance(part, str)]
    model = _model(root, tuple(names[:-1])) if names else None
    for field in model.model_fields.values() if model else ():
        if field.alias == names[-1]:
            return (field.description or "").partition(". ")[0].rstrip(".")
    return "see the documentation of the field"
