"""What the operator keeps of the objects that it watches: pools as they were understood, pods as far as they matter.

Pure: from one object, as the API server speaks of it, to a frozen record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_contract.urls import without_passwords
from workerpool_operator.explain import explain
from workerpool_operator.report import status_from

LONGEST = 1024
# A container that only begins says these; everything else that it waits for is trouble.
_BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})
_OVER = frozenset({"Succeeded", "Failed"})


class PoolKey(NamedTuple):
    """Where a pool is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As people write it: namespace/name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A WorkerPool object. ``pool`` is None when its spec can't be used; ``problem`` then says why, and the cure.

    ``status`` is the one that the object carries, of one that this release doesn't understand its history.
    """

    key: PoolKey
    uid: str
    generation: int
    deleting: bool
    pool: WorkerPool | None
    status: WorkerPoolStatus | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod of a pool. ``waiting``: one word for what keeps it from running ("ImagePullBackOff"), else empty.

    ``ended``: it ran to its end and only its record is left. ``cost``: its pod-deletion-cost, None when unset.
    ``born``: when it was created, as text that sorts by time.
    """

    name: str
    pool: PoolKey
    ready: bool = False
    terminating: bool = False
    ended: bool = False
    waiting: str = ""
    message: str = ""
    cost: str | None = None
    born: str = ""


def key_of(body: Mapping[str, Any]) -> PoolKey:
    """Namespace and name of an object; of a pool and of its children, that is the pool."""
    metadata = body["metadata"]
    return PoolKey(metadata.get("namespace", ""), metadata["name"])


def pool_record(body: Mapping[str, Any]) -> PoolRecord:
    """A WorkerPool object as the operator understands it; never raises for a spec that it doesn't."""
    metadata = body["metadata"]
    pool, problem = _parsed(body)
    status = status_from(body["status"]) if "status" in body else None
    return PoolRecord(
        key=key_of(body),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        pool=None if pool is None else pool.model_copy(update={"status": status}),
        status=status,
        problem=problem,
    )


def pod_record(body: Mapping[str, Any]) -> PodRecord | None:
    """A pod as the operator understands it, None when it carries no pool's label."""
    metadata, status = body["metadata"], body.get("status", {})
    pool = metadata.get("labels", {}).get(names.LABEL_POOL)
    if pool is None:
        return None
    waiting, message = next(_obstacles(status), ("", ""))
    return PodRecord(
        name=metadata["name"],
        pool=PoolKey(metadata.get("namespace", ""), pool),
        ready=_condition(status, "Ready").get("status") == "True",
        terminating="deletionTimestamp" in metadata,
        ended=status.get("phase") in _OVER,
        waiting=waiting,
        message=without_passwords(" ".join(message.split()))[:LONGEST],
        cost=(metadata.get("annotations") or {}).get(names.ANNOTATION_DELETION_COST),
        born=metadata.get("creationTimestamp", ""),
    )


def _parsed(body: Mapping[str, Any]) -> tuple[WorkerPool | None, str]:
    """The pool, or why it can't be used. The status is left out: a bad one is no fault of the spec."""
    document = {name: value for name, value in body.items() if name != "status"}
    try:
        return WorkerPool.model_validate(document, by_alias=True, by_name=False), ""
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, "; ".join(explain(detail, WorkerPool) for detail in details)[:LONGEST]


def _obstacles(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What keeps a pod from running, the most telling first: reason and words."""
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        reason, words = _obstacle(container)
        if reason:
            yield reason, f"container {container.get('name', '')}: {words}"
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        yield scheduled.get("reason") or "Unschedulable", scheduled.get("message") or "no node takes the pod"


def _obstacle(container: Mapping[str, Any]) -> tuple[str, str]:
    """What keeps one container from working, empty when nothing does.

    One that failed more than once counts as failing until it is ready, also while it runs again: a crash loop is one
    trouble, not a new one at each turn.
    """
    state = container.get("state", {})
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    reason = waiting.get("reason", "")
    if reason and reason not in _BEGINNING:
        return reason, _ended(ended) if ended else waiting.get("message") or reason
    ends = container.get("restartCount", 0) + ("terminated" in state)
    if not reason and not container.get("ready") and ended.get("exitCode") and ends > 1:
        return "CrashLoopBackOff", _ended(ended)
    return "", ""


def _ended(terminated: Mapping[str, Any]) -> str:
    """How a container ended. Not what it said: that may hold anything."""
    return f"ended with code {terminated.get('exitCode')} ({terminated.get('reason') or 'no reason given'})"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}
