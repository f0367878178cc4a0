"""What the API server told so far: the newest known version of every watched object.

Three voices speak here: the watches, the answers to the operator's own writes, and a listing now and then. An older
version never replaces a newer one, whoever brings it, so a decision is never taken on a size that was changed since.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from workerpool_operator.kube.api import DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, POOLS, Body, Resource
from workerpool_operator.kube.objects import PodRecord, PoolKey, PoolRecord, key_of, pod_record, pool_record

T = TypeVar("T")
WATCHED = (POOLS, DEPLOYMENTS, DISRUPTION_BUDGETS, PODS)
# Deletions that are remembered, so that news from before them bring nothing back.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    """A value and the version of the object behind it."""

    version: int
    value: T


class Shelf(Generic[T]):
    """Objects of one kind by namespace and name; ``parse`` makes of a body what is kept of it."""

    def __init__(self, parse: Callable[[Body], T]) -> None:
        self._parse = parse
        self._items: dict[PoolKey, _Item[T]] = {}
        self._gone: dict[PoolKey, int] = {}

    def get(self, key: PoolKey) -> T | None:
        """What is known of ``key``, None when it does not exist."""
        item = self._items.get(key)
        return None if item is None else item.value

    def versions(self) -> dict[PoolKey, int]:
        """The version of everything that exists."""
        return {key: item.version for key, item in self._items.items()}

    def put(self, body: Body) -> bool:
        """Takes in a version of an object; False when it is not newer than what is known."""
        key, version = key_of(body), _version(body)
        known = self._items.get(key)
        if version <= max(known.version if known else 0, self._gone.get(key, 0)):
            return False
        self._gone.pop(key, None)
        self._items[key] = _Item(version, self._parse(body))
        return True

    def drop(self, key: PoolKey, version: int) -> bool:
        """Takes in that an object is gone as of ``version``; False when a newer one of that name exists."""
        known = self._items.get(key)
        if known is None or known.version > version:
            return False
        del self._items[key]
        self._gone[key] = version
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]
        return True


class World:
    """Everything that is watched. `put`, `drop` and `listed` answer the pools that should be looked at again."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._pools: Shelf[PoolRecord] = Shelf(pool_record)
        self._deployments: Shelf[Body] = Shelf(dict)
        self._budgets: Shelf[Body] = Shelf(dict)
        self._pods: Shelf[PodRecord | None] = Shelf(pod_record)
        self._by_pool: dict[PoolKey, dict[str, PodRecord]] = {}
        self._shelves: Mapping[Resource, Shelf[PoolRecord] | Shelf[Body] | Shelf[PodRecord | None]] = {
            POOLS: self._pools,
            DEPLOYMENTS: self._deployments,
            DISRUPTION_BUDGETS: self._budgets,
            PODS: self._pods,
        }

    def pool(self, key: PoolKey) -> PoolRecord | None:
        """The pool, None when it does not exist."""
        return self._pools.get(key)

    def count(self) -> int:
        """How many pools there are."""
        return len(self.versions(POOLS))

    def deployment(self, key: PoolKey) -> Body | None:
        """The Deployment of that name that carries the operator's label."""
        return self._deployments.get(key)

    def budget(self, key: PoolKey) -> Body | None:
        """The PodDisruptionBudget of that name that carries the operator's label."""
        return self._budgets.get(key)

    def pods(self, key: PoolKey) -> tuple[PodRecord, ...]:
        """The pods of a pool, the oldest first."""
        return tuple(sorted(self._by_pool.get(key, {}).values(), key=lambda pod: (pod.born, pod.name)))

    def put(self, resource: Resource, body: Body) -> set[PoolKey]:
        """Takes in a version of an object."""
        key = key_of(body)
        before = self._pod(resource, key)
        if not self._shelves[resource].put(body):
            return set()
        return self._touched(resource, key, before)

    def drop(self, resource: Resource, body: Body) -> set[PoolKey]:
        """Takes in that an object was deleted; ``body`` is its last version."""
        return self._drop(resource, key_of(body), _version(body))

    def versions(self, resource: Resource) -> dict[PoolKey, int]:
        """The versions of all objects of a kind: to be taken before a listing, for `listed`."""
        return self._shelves[resource].versions()

    def listed(self, resource: Resource, bodies: Iterable[Body], before: Mapping[PoolKey, int]) -> set[PoolKey]:
        """Takes in a complete listing that began when the versions were ``before``.

        What was known then, has not moved since, and is not in the listing was deleted while no watch looked.
        """
        touched: set[PoolKey] = set()
        found: set[PoolKey] = set()
        for body in bodies:
            found.add(key_of(body))
            touched |= self.put(resource, body)
        now = self.versions(resource)
        for key, version in before.items():
            if key not in found and now.get(key) == version:
                touched |= self._drop(resource, key, version)
        return touched

    def _drop(self, resource: Resource, key: PoolKey, version: int) -> set[PoolKey]:
        before = self._pod(resource, key)
        if not self._shelves[resource].drop(key, version):
            return set()
        return self._touched(resource, key, before)

    def _pod(self, resource: Resource, key: PoolKey) -> PodRecord | None:
        return self._pods.get(key) if resource is PODS else None

    def _touched(self, resource: Resource, key: PoolKey, before: PodRecord | None) -> set[PoolKey]:
        """The pools that a change of this object concerns; keeps the pods sorted by pool."""
        if resource is not PODS:
            return {key}
        after = self._pods.get(key)
        if before is not None:
            pods = self._by_pool[before.pool]
            del pods[before.name]
            if not pods:
                del self._by_pool[before.pool]
        if after is not None:
            self._by_pool.setdefault(after.pool, {})[after.name] = after
        if before == after:
            return set()
        return {record.pool for record in (before, after) if record is not None}


def _version(body: Body) -> int:
    """The resourceVersion as a number: the API server counts them up, so a larger one is newer."""
    return int(body["metadata"]["resourceVersion"])
