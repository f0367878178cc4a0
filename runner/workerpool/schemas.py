"""Payloads and results at the border of a handler: JSON text in, JSON text out, with errors that name the fields."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workerpool.errors import PayloadError
from workerpool.jsontext import JSON_WORDS, write_json
from workerpool.signatures import Shape

Decode = Callable[[str], Any]
Encode = Callable[[Any], str]

MAX_FIELDS: Final = 5
"""Faults listed of one payload; the rest are counted."""

parse_json: Decode = partial(from_json, allow_inf_nan=False)
"""JSON text to Python values; raises ValueError for anything that is not JSON, NaN and Infinity included."""


def decoder(shape: Shape) -> Decode:
    """The fastest function from JSON text to what the handler takes. It raises ValueError for a bad payload."""
    if shape.model is None:
        return parse_json if shape.form == "any" else _parse_object
    validate: Decode = shape.model.__pydantic_validator__.validate_json
    return validate if shape.form == "model" else lambda text: validate(text).model_dump()


def encoder(schema: type[BaseModel] | None, limit: int) -> Encode:
    """The function from a result to JSON text, checked against ``schema`` and at most ``limit`` bytes long.

    It raises PayloadError saying what is wrong with the result and what to do.
    """
    if schema is None:
        return lambda result: _write(result, limit)
    return lambda result: _write(_validated(schema, result), limit)


def explain(error: Exception, expected: str) -> str:
    """Why a payload was refused: the fields at fault, never their values, which may be private.

    ``expected``: what it should have been ("OrderIn").
    """
    if isinstance(error, ValidationError):
        return f"does not match {expected}: {faults(error)}"
    if isinstance(error, NotAnObjectError):
        return str(error)
    if isinstance(error, ValueError):
        return f"is not JSON: {error}"
    return f"could not be checked against {expected}: {type(error).__name__}: {error}"


def faults(error: ValidationError) -> str:
    """The fields at fault and what is wrong with each, the first few of them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    listed = "; ".join(_fault(fault["loc"], fault["msg"]) for fault in found[:MAX_FIELDS])
    return listed if len(found) <= MAX_FIELDS else f"{listed}; and {len(found) - MAX_FIELDS} more"


class NotAnObjectError(ValueError):
    """The payload is JSON, but the handler asks for an object."""


def _parse_object(text: str) -> dict[str, Any]:
    value = from_json(text, allow_inf_nan=False)
    if type(value) is dict:
        return value
    raise NotAnObjectError(f"is {JSON_WORDS[type(value)]}, but the handler takes an object (its parameter is a dict)")


def _write(result: object, limit: int) -> str:
    data = write_json(result, "the result", "return")
    if len(data) > limit:
        raise PayloadError(
            f"the result has {len(data)} bytes, the limit is {limit}; store it elsewhere and return its address, "
            "or raise the payload limit (WORKERPOOL_MAX_PAYLOAD_BYTES)"
        )
    return data.decode()


def _validated(schema: type[BaseModel], result: object) -> BaseModel:
    value = result.model_dump() if isinstance(result, BaseModel) and not isinstance(result, schema) else result
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise PayloadError(
            f"the result does not match output_schema {schema.__name__}: {faults(error)}; correct one of them"
        ) from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(map(str, location))
    return f"{place}: {message}" if place else message
