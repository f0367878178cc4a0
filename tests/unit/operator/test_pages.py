"""The pages about the operator name everything that it can say: reasons, metrics, settings, rights."""

import ast
import re
from collections.abc import Iterator

import yaml

from tests.architecture.source import ROOT
from tests.unit.operator.test_operator_metrics import POOL
from workerpool_contract.backlog import Backlog
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator import happenings
from workerpool_operator.decision import ClampKind
from workerpool_operator.desired import surroundings
from workerpool_operator.metrics import Metrics, PoolFigures
from workerpool_operator.settings import VARIABLES, OperatorSettings

OPERATOR = ROOT / "operator" / "workerpool_operator"
DOCS = ROOT / "docs"
CODE = re.compile(r"`([^`]+)`")
WORD = re.compile(r"[A-Z][a-z]+[A-Za-z]*")
FROM_THE_CLUSTER = {"BadRequest", "FailedCreate", "FailedDelete", "Forbidden", "Invalid"}
"""Words that the API server and the Deployment controller give, and that the operator passes on."""
MAKERS = {"_Finding", "Trouble", "Condition"}


def rows(page: str, heading: str) -> Iterator[list[str]]:
    """The cells of the first table after a heading, without its head."""
    text = (DOCS / page).read_text(encoding="utf-8").split(f"{heading}\n", 1)[1]
    table = re.search(r"(^\|.*\n)+", text, re.MULTILINE)
    assert table
    for line in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def listed(page: str, heading: str) -> set[str]:
    """What stands as code in the first column."""
    return {word for row in rows(page, heading) for word in CODE.findall(row[0])}


def reasons_in_the_code() -> set[str]:
    """Every word that is given as the reason of a condition or of a trouble, wherever it is made."""
    found = {value for name, value in vars(surroundings).items() if name.isupper() and isinstance(value, str)}
    for file in [OPERATOR / "report.py", OPERATOR / "controller.py", *(OPERATOR / "kube").glob("*.py")]:
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in MAKERS:
                found |= {word for argument in reason_of(call) for word in strings(argument)}
    return found


def reason_of(call: ast.Call) -> list[ast.expr]:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    return named or list(call.args)


def strings(node: ast.expr) -> set[str]:
    found = (it.value for it in ast.walk(node) if isinstance(it, ast.Constant) and isinstance(it.value, str))
    return {word for word in found if WORD.fullmatch(word)}


def test_every_reason_of_a_condition_is_explained() -> None:
    said = reasons_in_the_code() | {ClampKind.AT_MAXIMUM.value, ClampKind.AT_MINIMUM.value, "ReplicaFailure"}
    assert {"NameTaken", "InvalidSpec", "Pinned", "ReplicasStarting", "ImageMissing"} <= said
    assert listed("reasons.md", "## Reasons of conditions") == said | FROM_THE_CLUSTER


def test_every_reason_of_an_event_is_explained() -> None:
    assert listed("reasons.md", "## Reasons of events") == {reason.value for reason in happenings.Reason}


def test_every_metric_is_explained_with_its_type() -> None:
    metrics = Metrics()
    metrics.show("shop", "orders", PoolFigures(POOL, WorkerPoolStatus(), Backlog(ready=1), 0))
    known = {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in metrics.registry.collect()
    }
    shown = {CODE.findall(row[0])[0]: row[1] for row in rows("operator.md", "## Metrics")}
    assert shown == known


def test_every_setting_is_explained_with_its_default() -> None:
    shown = {CODE.findall(row[0])[0]: row[1] for row in rows("operator.md", "## Settings")}
    assert shown.keys() == {variable.name for variable in VARIABLES}
    for variable in VARIABLES:
        default = getattr(OperatorSettings(), variable.field)
        if default:
            assert shown[variable.name] == str(default)
    assert shown["WORKERPOOL_OPERATOR_LEADER_ELECTION"] == "false"


def test_every_right_is_argued() -> None:
    objects = yaml.safe_load_all((ROOT / "helm" / "static" / "workerpool.yaml").read_text(encoding="utf-8"))
    (role,) = [it for it in objects if it["kind"] == "ClusterRole" and it["metadata"]["name"] == "workerpool-operator"]
    given = {resource: ", ".join(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    shown = {
        CODE.findall(row[0])[0]: row[1] for row in rows("kubernetes.md", "### Which rights does it need, and why?")
    }
    assert shown == given
