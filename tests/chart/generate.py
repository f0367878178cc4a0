"""Writes what is made for and from the chart: ``python -m tests.chart.generate``.

The definition is copied into the chart, the table of values is put into its page, and the chart is rendered into one
manifest for people without Helm. The first run builds Helm, which takes some minutes; later ones take seconds.
"""

import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.source import ROOT
from tests.chart.helm import CHART, NAMESPACE, Helm, Objects, program
from tests.chart.values_table import with_table
from tests.cluster.api import Unavailable

CRDS: Final = ROOT / "crds"
COPIES: Final = CHART / "files" / "crds"
PAGE: Final = CHART / "README.md"
STATIC: Final = ROOT / "helm" / "static" / "workerpool.yaml"
HEADER: Final = "# Made from helm/workerpool by `make generate`. Do not edit.\n"
HELMS_OWN: Final = {"app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy"}


def copies() -> dict[Path, str]:
    """What the chart's copies of the definitions must say, by path."""
    return {COPIES / path.name: path.read_text(encoding="utf-8") for path in sorted(CRDS.glob("*.yaml"))}


def page() -> str:
    """What the chart's README must say."""
    return with_table(PAGE.read_text(encoding="utf-8"), (CHART / "values.yaml").read_text(encoding="utf-8"))


def static(rendered: Objects) -> str:
    """One manifest with the namespace and the rendered objects, without the marks that only Helm understands."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    objects = [namespace, *sorted(map(_without_helm, rendered), key=_not_a_definition)]
    return HEADER + yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)


def rendered(helm: Helm) -> Objects:
    """The objects of the default installation, without the test."""
    return helm.render("--no-hooks")


def _without_helm(document: dict[str, Any]) -> dict[str, Any]:
    changed = deepcopy(document)
    _strip(changed)
    return changed


def _strip(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _strip(item)
    elif isinstance(node, dict):
        for key in ("labels", "annotations"):
            if isinstance(node.get(key), dict) and HELMS_OWN & node[key].keys():
                node[key] = {name: value for name, value in node[key].items() if name not in HELMS_OWN}
                if not node[key]:
                    del node[key]
        for value in node.values():
            _strip(value)


def _not_a_definition(document: dict[str, Any]) -> bool:
    return bool(document["kind"] != "CustomResourceDefinition")


def main() -> int:
    """Writes everything; returns 1 and says why when there is no Helm and none can be built."""
    COPIES.mkdir(parents=True, exist_ok=True)
    for stale in set(COPIES.iterdir()) - copies().keys():
        stale.unlink()
    for path, text in copies().items():
        path.write_text(text, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    try:
        helm = program(3)
    except Unavailable as error:
        print(f"generate: helm/static is not written again: {error}", file=sys.stderr)  # noqa: T201 - a command line
        return 1
    with tempfile.TemporaryDirectory() as home:
        STATIC.write_text(static(rendered(Helm(helm, Path(home)))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
