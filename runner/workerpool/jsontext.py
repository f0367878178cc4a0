"""Values as JSON text, without what JSON lacks: NaN and Infinity, which databases and receivers refuse."""

from typing import Final

from pydantic_core import from_json, to_json

from workerpool.errors import PayloadError

JSON_WORDS: Final = {
    list: "an array",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def write_json(value: object, name: str, verb: str) -> bytes:
    """The value as UTF-8 JSON. ``name`` ("the payload") and ``verb`` ("send") are for the error's words.

    Raises PayloadError for what can't be said in JSON.
    """
    try:
        data = to_json(value)
    except ValueError as error:
        cure = f"{verb} dicts, lists, text, numbers, dates or pydantic models"
        raise PayloadError(f"{name} is not JSON: {error}; {cure}") from None
    if (b"NaN" in data or b"Infinity" in data) and not _is_strict(data):
        raise PayloadError(f"{name} holds NaN or Infinity, which JSON lacks; {verb} None in their place")
    return data


def _is_strict(data: bytes) -> bool:
    try:
        from_json(data, allow_inf_nan=False)
    except ValueError:
        return False
    return True
