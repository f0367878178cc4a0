"""The CustomResourceDefinition, made from the contract's models: `python -m workerpool_operator.crd [--check]`.

The file in crds/ is committed; ``--check`` (and a test) fails when it no longer says what the models say. Rules that
span several fields are CEL here and validators in the models: the API server refuses what the operator would.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool, WorkerPoolSpec
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.constraints import RULES
from workerpool_operator.structural import Schema, structural

FILE_NAME = f"{names.PLURAL}.{names.API_GROUP}.yaml"
HEADER = "# Made from contract/workerpool_contract by `make generate`. Do not edit.\n"


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as a dictionary."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.API_GROUP}"},
        "spec": {
            "group": names.API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [_version()],
        },
    }


def render() -> str:
    """The text of the file in crds/."""
    return HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)


def _version() -> dict[str, Any]:
    return {
        "name": names.API_VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            _column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
            _column("Replicas", "integer", ".status.replicas"),
            _column("Desired", "integer", ".status.desiredReplicas"),
            _column("Backlog", "integer", ".status.backlog.ready"),
            _column("Age", "date", ".metadata.creationTimestamp"),
            {**_column("Oldest", "integer", ".status.backlog.oldestAgeSeconds"), "priority": 1},
            {**_column("Reason", "string", ".status.reason"), "priority": 1},
        ],
        "schema": {"openAPIV3Schema": _schema()},
    }


def _column(name: str, kind: str, path: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path}


def _schema() -> Schema:
    schema: Schema = {
        "type": "object",
        "description": "A pool of workers for one queue; its size follows the backlog.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": WorkerPool.model_fields["api_version"].description},
            "kind": {"type": "string", "description": WorkerPool.model_fields["kind"].description},
            "metadata": {"type": "object"},
            "spec": structural(WorkerPoolSpec.model_json_schema()),
            "status": structural(WorkerPoolStatus.model_json_schema()),
        },
    }
    for path, rules in RULES.items():
        node = schema
        for name in path:
            node = node["properties"][name]
        node["x-kubernetes-validations"] = [rule.body() for rule in rules]
    conditions = schema["properties"]["status"]["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    schema["properties"]["spec"]["properties"]["worker"]["properties"]["names"]["x-kubernetes-list-type"] = "set"
    return schema


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the file; returns the exit code (1: the file differs from the models)."""
    parser = argparse.ArgumentParser(prog="python -m workerpool_operator.crd", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the file is out of date")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("crds"), help="where the file is (crds)")
    options = parser.parse_args(arguments)
    path = options.directory / FILE_NAME
    if options.check:
        if path.is_file() and path.read_text() == render():
            return 0
        sys.stderr.write(f"{path} is out of date; run `make generate`\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
