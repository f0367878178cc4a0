"""Which objects a pool may call its own."""

from typing import Any

import pytest

from workerpool_operator.desired.labels import labels
from workerpool_operator.kube.objects import PoolKey, PoolRecord
from workerpool_operator.kube.owned import Sightings, obstacle, secret_versions, sized_by_operator

RECORD = PoolRecord(PoolKey("shop", "orders"), "uid-2", 1, deleting=False, pool=None, status=None)


def child(owner: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "orders", **({"ownerReferences": [owner]} if owner else {}), **more}}


def owner(uid: str, kind: str = "WorkerPool") -> dict[str, Any]:
    return {"kind": kind, "name": "orders", "uid": uid, "controller": True}


def reason(live: dict[str, Any] | None) -> str | None:
    trouble = obstacle(live, "Deployment", RECORD)
    return None if trouble is None else trouble.reason


def test_nothing_is_in_the_way_of_a_new_object() -> None:
    assert reason(None) is None


def test_the_pools_own_object() -> None:
    assert reason(child(owner("uid-2"))) is None


def test_an_object_with_the_pools_labels_and_no_controller_is_taken_in() -> None:
    assert reason(child(labels=labels("orders"))) is None
    assert reason(child(labels=labels("mail"))) == "NameTaken"


def test_objects_of_others_are_not_touched() -> None:
    assert reason(child()) == "NameTaken"
    assert reason(child(owner("uid-9", "Rollout"), labels=labels("orders"))) == "NameTaken"


def test_a_child_of_an_earlier_pool_of_that_name_will_go() -> None:
    assert reason(child(owner("uid-1"), labels=labels("orders"))) == "EarlierPoolDeleting"


def left(version: str | None, seen: str | None) -> dict[str, Any]:
    """A Deployment with its annotations."""
    marks = {} if version is None else {"annotations": {"workerpool.dev/secret-version": version}}
    head = {} if seen is None else {"annotations": {"workerpool.dev/secret-seen": seen}}
    return {"metadata": head, "spec": {"template": {"metadata": marks}}}


@pytest.mark.parametrize(
    ("deployment", "found", "version"),
    [
        pytest.param(None, ("10", "10"), "10", id="first"),
        pytest.param(left("7", "10"), ("10", "10"), "7", id="after a restart"),
        pytest.param(left("7", "9"), ("10", "10"), "10", id="changed while nobody looked"),
        pytest.param(left("7", "10"), ("10", "12"), "7", id="a label, seen by this life"),
        pytest.param(left("7", "9"), ("10", "100"), "10", id="numbers, not texts"),
        pytest.param(left("7", "12"), ("13", "13"), "13", id="another value"),
        pytest.param(left("7", "14"), ("10", "13"), "10", id="of another Secret"),
        pytest.param(left("7", None), ("10", "10"), "10", id="without a mark"),
        pytest.param(left("7", "x"), ("10", "10"), "10", id="with a mark by hand"),
        pytest.param(left(None, "10"), ("10", "10"), "10", id="without a version"),
    ],
)
def test_runners_roll_only_when_the_value_may_have_changed(
    deployment: dict[str, Any] | None, found: tuple[str, str], version: str
) -> None:
    assert secret_versions(deployment, {"queue-db": Sightings(*found)}) == (version, found[1])


def test_not_knowing_rolls_nobody() -> None:
    assert secret_versions(left("7", "10"), {"queue-db": None}) == ("7", "10")
    assert secret_versions(left("7", "10"), None) == ("7", "10")
    assert secret_versions(None, {"queue-db": None}) == (None, None)
    assert secret_versions(None, None) == (None, None)


BOTH = left("mq=7,s3=5", "mq=10,s3=6")


@pytest.mark.parametrize(
    ("deployment", "mq", "s3", "expected"),
    [
        pytest.param(None, ("10", "11"), ("6", "6"), ("mq=10,s3=6", "mq=11,s3=6"), id="first"),
        pytest.param(BOTH, ("10", "11"), ("6", "6"), ("mq=7,s3=5", "mq=11,s3=6"), id="after a restart"),
        pytest.param(BOTH, ("11", "11"), ("6", "6"), ("mq=11,s3=5", "mq=11,s3=6"), id="one changed"),
        pytest.param(BOTH, None, ("8", "8"), ("mq=7,s3=8", "mq=10,s3=8"), id="one unknown, one changed"),
        pytest.param(BOTH, None, None, ("mq=7,s3=5", "mq=10,s3=6"), id="both unknown"),
        pytest.param(None, None, ("6", "6"), ("s3=6", "s3=6"), id="one unknown from the start"),
        pytest.param(left("7", "10"), ("10", "10"), ("6", "6"), ("mq=10,s3=6", "mq=10,s3=6"), id="a Secret more"),
    ],
)
def test_several_secrets_are_told_apart(
    deployment: dict[str, Any] | None,
    mq: tuple[str, str] | None,
    s3: tuple[str, str] | None,
    expected: tuple[str, str],
) -> None:
    found = {"s3": Sightings(*s3) if s3 else None, "mq": Sightings(*mq) if mq else None}
    assert secret_versions(deployment, found) == expected


def test_a_pool_without_secrets_has_no_versions() -> None:
    assert secret_versions(left("7", "10"), {}) == (None, None)


def test_a_size_is_the_operators_own_until_somebody_else_sets_one() -> None:
    def deployment(manager: str, operation: str = "Apply") -> dict[str, Any]:
        fields = {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        return {"metadata": {"managedFields": [fields]}, "spec": {"replicas": 3}}

    assert sized_by_operator(deployment("workerpool-operator"))
    assert not sized_by_operator(deployment("kubectl", "Update"))
    assert not sized_by_operator(deployment("workerpool-operator", "Update"))
    assert not sized_by_operator({"spec": {"replicas": 3}})
    assert not sized_by_operator(None)
