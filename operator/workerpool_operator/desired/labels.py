"""How the objects of a pool are marked and found again."""

from collections.abc import Mapping
from typing import Any, Final

from workerpool_contract import names

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
APPLICATION: Final = "workerpool-runner"


def labels(pool: str) -> dict[str, str]:
    """The labels of every object of ``pool``."""
    return {
        LABEL_INSTANCE: pool,
        names.LABEL_MANAGED_BY: names.MANAGER,
        LABEL_NAME: APPLICATION,
        names.LABEL_POOL: pool,
    }


def selector(pool: str) -> dict[str, str]:
    """The labels that select the pods of ``pool``. A Deployment's selector can never be changed."""
    return {names.LABEL_POOL: pool}


def ours(child: Mapping[str, Any], pool: str) -> bool:
    """Whether ``child`` carries the labels by which this operator finds the objects of ``pool``."""
    found = child.get("metadata", {}).get("labels") or {}
    return found.get(names.LABEL_POOL) == pool and found.get(names.LABEL_MANAGED_BY) == names.MANAGER


def controller_uid(child: Mapping[str, Any]) -> str | None:
    """The uid of the object that controls ``child``; None when nobody does."""
    owners = child.get("metadata", {}).get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)
