"""Whether an object with the name of a pool's child is that pool's child. Pure."""

from collections.abc import Mapping
from typing import Any

from workerpool_contract import names
from workerpool_operator.desired.labels import controller_uid, ours
from workerpool_operator.desired.ownership import owned
from workerpool_operator.kube.objects import PoolRecord
from workerpool_operator.platform import Trouble


def obstacle(live: Mapping[str, Any] | None, kind: str, record: PoolRecord) -> Trouble | None:
    """Why an object that exists must not be touched, None when it may be: there is none, it is ours, or nobody's.

    One that carries the pool's labels and has no controller is taken in: somebody restored it from a backup, say.
    """
    if live is None:
        return None
    owner = controller_uid(live)
    if owner == record.uid or (owner is None and ours(live, record.key.name)):
        return None
    if _of_earlier(live, record.key.name):
        words = f"{kind} {record.key} still belongs to a deleted pool of the same name; it is being removed"
        return Trouble("EarlierPoolDeleting", words)
    words = (
        f"{kind} {record.key} exists and belongs to somebody else; delete or rename it, or name the pool differently"
    )
    return Trouble("NameTaken", words)


def sized_by_operator(deployment: Mapping[str, Any] | None) -> bool:
    """Whether the size of a Deployment is the operator's own word: nobody set another one after it."""
    return deployment is not None and "f:replicas" in owned(deployment, names.MANAGER).get("f:spec", {})


def secret_version(deployment: Mapping[str, Any] | None) -> str | None:
    """The version of the Secret that the runners of a Deployment were started with, None when it says nothing."""
    template = (deployment or {}).get("spec", {}).get("template", {})
    annotations = template.get("metadata", {}).get("annotations") or {}
    found: str | None = annotations.get(names.ANNOTATION_SECRET_VERSION)
    return found


def _of_earlier(live: Mapping[str, Any], pool: str) -> bool:
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return any(
        owner.get("controller") and owner.get("kind") == names.KIND and owner.get("name") == pool for owner in owners
    )
