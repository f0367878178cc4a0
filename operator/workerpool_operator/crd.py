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
from workerpool_contract.scaling import Scaling
from workerpool_contract.spec import WorkerPoolSpec
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.structural import Schema, structural

FILE_NAME = f"{names.PLURAL}.{names.API_GROUP}.yaml"
HEADER = "# Made from contract/workerpool_contract by `make generate`. Do not edit.\n"
NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MOST = f"(has(self.maxReplicas) ? self.maxReplicas : {Scaling().max_replicas})"

# Path of the object that a rule belongs to -> (rule, message).
RULES: dict[tuple[str, ...], list[tuple[str, str]]] = {
    (): [
        (
            f"size(self.metadata.name) <= 52 && self.metadata.name.matches('{NAME_PATTERN}')",
            "metadata.name must be a DNS label of at most 52 characters; choose a shorter name without dots",
        )
    ],
    ("spec", "source"): [("has(self.postgres)", "exactly one source is needed; set postgres")],
    ("spec", "worker"): [
        (
            (
                "!has(self.drainTimeoutSeconds) || self.drainTimeoutSeconds >= "
                "(has(self.jobTimeoutSeconds) ? self.jobTimeoutSeconds : 300)"
            ),
            "drainTimeoutSeconds is below jobTimeoutSeconds; raise drainTimeoutSeconds or lower jobTimeoutSeconds",
        )
    ],
    ("spec", "retry"): [
        (
            (
                "!has(self.initialDelaySeconds) || !has(self.maxDelaySeconds) "
                "|| self.initialDelaySeconds <= self.maxDelaySeconds"
            ),
            "initialDelaySeconds is above maxDelaySeconds; lower one or raise the other",
        )
    ],
    ("spec", "scaling"): [
        (
            f"!has(self.minReplicas) || self.minReplicas <= {MOST}",
            "minReplicas is above maxReplicas; lower minReplicas or raise maxReplicas",
        ),
        (
            f"!has(self.fallback) || self.fallback.replicas <= {MOST}",
            "fallback.replicas is above maxReplicas; lower fallback.replicas or raise maxReplicas",
        ),
        (
            f"!has(self.pause) || !has(self.pause.replicas) || self.pause.replicas <= {MOST}",
            "pause.replicas is above maxReplicas; lower pause.replicas or raise maxReplicas",
        ),
    ],
    ("spec", "scaling", "pause"): [
        (
            "(self.mode == 'HoldAt') == has(self.replicas)",
            "replicas is required with mode HoldAt and allowed only there; set mode: HoldAt or remove replicas",
        )
    ],
}


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
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(WorkerPoolSpec.model_json_schema()),
            "status": structural(WorkerPoolStatus.model_json_schema()),
        },
    }
    for path, rules in RULES.items():
        node = schema
        for name in path:
            node = node["properties"][name]
        node["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
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
