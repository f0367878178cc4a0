"""What a handler asks for, read from its parameters: the payload in which form, and whether it wants a context."""

import inspect
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_origin

from pydantic import BaseModel

from workerpool.context import JobContext
from workerpool.definition import Handler, WorkerDefinition
from workerpool.errors import ConfigError

Form = Literal["any", "object", "model", "dump"]

CONTEXT_NAMES: Final = ("ctx", "context")
MAPPINGS: Final = (dict, Mapping, MutableMapping)
UNRESOLVED: Final = object()


@dataclass(frozen=True, slots=True)
class Shape:
    """How a handler is called.

    ``form``: "any" JSON value; "object": a dict, checked; "model": an instance of ``model``; "dump": the dict of a
    validated ``model``. ``wants_context``: a JobContext is passed as second argument.
    """

    form: Form
    model: type[BaseModel] | None
    wants_context: bool


def shape_of(definition: WorkerDefinition) -> Shape:
    """Reads the handler's parameters. Raises ConfigError naming the worker, the parameter and the cure."""
    parameters = _parameters(definition)
    if not parameters:
        raise ConfigError(
            f"{definition.label}: the handler takes no payload; give it a parameter, for example job: dict"
        )
    payload, *rest = parameters
    wants_context = bool(rest) and _is_context(rest[0], definition.handler)
    surplus = [parameter for parameter in rest[wants_context:] if _is_required(parameter)]
    if surplus:
        raise ConfigError(
            f"{definition.label}: nothing to pass for parameter {surplus[0].name!r}; a handler takes the payload "
            "and, if it wants one, ctx: JobContext second; give other parameters defaults"
        )
    if wants_context and definition.runs == "process":
        raise ConfigError(
            f"{definition.label}: executor='process' can't pass {rest[0].name!r} to another process; "
            "remove the parameter, or use executor='thread'"
        )
    form, model = _payload_form(definition, payload)
    return Shape(form, model, wants_context)


def _parameters(definition: WorkerDefinition) -> list[inspect.Parameter]:
    """The parameters that take positional arguments, without the ``self`` of a class-style worker."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    everything = list(inspect.signature(definition.handler).parameters.values())
    if definition.owner is not None:
        everything = everything[1:]
    elif everything and everything[0].name == "self":
        raise ConfigError(f"{definition.label}: @worker does not go on methods; subclass Worker instead")
    keyword_only = [p for p in everything if p.kind is inspect.Parameter.KEYWORD_ONLY and _is_required(p)]
    if keyword_only:
        raise ConfigError(f"{definition.label}: parameter {keyword_only[0].name!r} is keyword-only; make it positional")
    return [parameter for parameter in everything if parameter.kind in kinds]


def _payload_form(definition: WorkerDefinition, payload: inspect.Parameter) -> tuple[Form, type[BaseModel] | None]:
    declared, schema = _annotation(payload, definition.handler), definition.input_schema
    if declared is UNRESOLVED:
        raise ConfigError(
            f"{definition.label}: the annotation {payload.annotation!r} of {payload.name!r} is unknown at run time; "
            "import it in the module, not only under TYPE_CHECKING"
        )
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        if schema is not None and schema is not declared:
            raise ConfigError(
                f"{definition.label}: input_schema={schema.__name__} but {payload.name!r} is a {declared.__name__}; "
                "make them the same, or leave input_schema out"
            )
        return "model", declared
    if schema is not None:
        return "dump", schema
    return ("object", None) if (get_origin(declared) or declared) in MAPPINGS else ("any", None)


def _is_context(parameter: inspect.Parameter, handler: Handler) -> bool:
    declared = _annotation(parameter, handler)
    if declared in (inspect.Parameter.empty, UNRESOLVED):
        written = str(parameter.annotation).rpartition(".")[2]
        return parameter.name in CONTEXT_NAMES or written == JobContext.__name__
    return declared is JobContext or (declared is Any and parameter.name in CONTEXT_NAMES)


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variadic


def _annotation(parameter: inspect.Parameter, handler: Handler) -> Any:  # noqa: ANN401 - annotations are anything
    """The annotation as an object; text is looked up in the handler's module, UNRESOLVED when it is not there."""
    written = parameter.annotation
    if not isinstance(written, str):
        return written
    scope = getattr(inspect.unwrap(handler), "__globals__", {})
    try:
        return eval(written, scope)  # noqa: S307 - the user's own source text, as typing.get_type_hints does
    except Exception:  # noqa: BLE001 - whatever a half-imported module raises, the name can't be used
        return UNRESOLVED
