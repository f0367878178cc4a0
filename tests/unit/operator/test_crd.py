"""The CRD in crds/ is the one that the models make, and has the form that Kubernetes accepts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from workerpool_operator import crd
from workerpool_operator.structural import structural

COMMITTED = Path(__file__).parents[3] / "crds"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside ``schema`` with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def schema() -> dict[str, Any]:
    """The whole schema of the only version."""
    found: dict[str, Any] = crd.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_committed_file_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """`make generate` was run."""
    assert crd.main(["--check", str(COMMITTED)]) == 0, capsys.readouterr().err


def test_check_fails_on_drift_and_generation_repairs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stale file is named with the cure."""
    target = tmp_path / crd.FILE_NAME
    target.write_text("stale")
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert "make generate" in capsys.readouterr().err
    assert crd.main([str(tmp_path)]) == 0
    assert yaml.safe_load(target.read_text()) == crd.crd()


def test_every_field_is_documented_bounded_and_structural() -> None:
    """`kubectl explain` has words for every field; CEL's cost estimate needs the bounds."""
    forbidden = {"$ref", "anyOf", "allOf", "oneOf", "title", "default", "const"}
    only_in_pods = {"additionalProperties", "nullable"}
    for path, node in nodes(schema()["properties"]["spec"], "spec"):
        assert not forbidden & node.keys(), path
        assert ".podTemplate." in path or not only_in_pods & node.keys(), path
        match node["type"]:
            case "string":
                assert node.keys() & {"maxLength", "enum", "format"}, path
            case "array":
                assert "maxItems" in node, path
            case "integer":
                assert {"minimum", "maximum"} <= node.keys(), path
            case other:
                assert other == "object", path


def test_every_field_has_a_description_in_words() -> None:
    """`kubectl explain` reads like documentation only when it has something to say of every field."""
    for path, node in nodes(schema()):
        assert path in {"", ".metadata"} or path.endswith("[]") or len(node["description"].split()) >= 3, path


def test_no_floating_point() -> None:
    """The API conventions keep it out of resources."""
    assert "number" not in {node["type"] for _, node in nodes(schema())}


def test_rules_sit_where_their_fields_are() -> None:
    """Each cross-field rule only speaks of fields of its own object."""
    rules = {path for path, node in nodes(schema()) if "x-kubernetes-validations" in node}
    assert rules == {
        "",
        ".spec.source",
        ".spec.source.rabbitmq",
        ".spec.source.rabbitmq.management",
        ".spec.worker",
        ".spec.worker.podTemplate.spec",
        ".spec.retry",
        ".spec.scaling",
        ".spec.scaling.pause",
    }


def test_what_a_crd_cannot_express_is_refused() -> None:
    """A union of two types stops the generator instead of a cluster."""

    class Bad(BaseModel):
        value: int | str

    with pytest.raises(ValueError, match="is a union"):
        structural(Bad.model_json_schema())
