"""pydantic's JSON schema turned into the structural schema that Kubernetes demands of a CRD. Pure.

References are put in place, an optional field loses its null alternative (the API server drops an explicit null where
it isn't declared, so `replicas: null` still means unset; a field marked nullable keeps it), titles go, and bounds
and defaults come into the description: a default in the schema would be written into every stored object and outlive
a better one.
"""

from typing import Any

Schema = dict[str, Any]

KEPT = frozenset(
    {
        "description", "enum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
        "minLength", "minimum", "nullable", "pattern", "properties", "required", "type",
    }
)  # fmt: skip
DROPPED = frozenset({"title", "default", "$defs", "additionalProperties"})
INT32_MAX = 2**31 - 1


def structural(schema: Schema) -> Schema:
    """The structural form of a pydantic schema. Raises ValueError for a keyword that CRDs can't express."""
    return _node(schema, schema.get("$defs", {}))


def _node(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _without_null(_resolved(node, definitions), definitions)
    unknown = node.keys() - KEPT - DROPPED
    if unknown:
        msg = f"{sorted(unknown)} in {node} has no form in a CRD; model the field in another way"
        raise ValueError(msg)
    result = {key: value for key, value in node.items() if key in KEPT}
    if "properties" in node:
        result["properties"] = {name: _node(child, definitions) for name, child in node["properties"].items()}
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        result["additionalProperties"] = {
            **_node(values, definitions),
            **({"nullable": True} if "anyOf" in values else {}),
        }
    elif node.get("type") == "object" and (values is True or "properties" not in node):
        result["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in node:
        result["items"] = _node(node["items"], definitions)
        result["x-kubernetes-list-type"] = "atomic"
    if node.get("type") == "integer":
        result["format"] = "int32" if node.get("maximum", INT32_MAX + 1) <= INT32_MAX else "int64"
    return _with_facts(result, node.get("default"))


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The node with its reference replaced by what it refers to; the node's own words win."""
    if "$ref" not in node:
        return node
    target = definitions[node["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _without_null(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "anyOf" not in node:
        return node
    rest = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    if len(rest) != 1:
        msg = f"{node} is a union; model it as optional members and a rule"
        raise ValueError(msg)
    own = {key: value for key, value in node.items() if key != "anyOf"}
    return {**_resolved(rest[0], definitions), **own}


def _with_facts(result: Schema, default: object) -> Schema:
    """Bounds and default in words: `kubectl explain` shows nothing but the description."""
    words = [result["description"]] if "description" in result else []
    if result.keys() >= {"minimum", "maximum", "description"}:
        words.append(f"From {result['minimum']} to {result['maximum']}.")
    elif "maxItems" in result and words:
        words.append(f"At most {result['maxItems']}.")
    if isinstance(default, str | int) and default != "":
        shown = str(default).lower() if isinstance(default, bool) else default
        words.append(f"Default: {shown}.")
    return {**result, "description": " ".join(words)} if words else result
