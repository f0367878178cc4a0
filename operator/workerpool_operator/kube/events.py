"""Events of a pool, as `kubectl describe workerpool` and `kubectl get events` show them."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from workerpool_contract.names import API_GROUP
from workerpool_operator.kube.api import EVENTS, POOLS, ApiError, Body, KubeApi, micro_time
from workerpool_operator.platform import Happening

logger = logging.getLogger(__name__)

CONTROLLER: Final = f"{API_GROUP}/operator"
LONGEST_NOTE: Final = 1024
"""Characters that Kubernetes allows."""
ACTION: Final = "Reconcile"
QUIET_SECONDS: Final = 120.0
"""For so long the same is not said again of the same pool."""


class Recorder:
    """Writes events. ``instance``: name of this process (its pod). ``steady`` counts seconds, ``wall`` tells the time.

    Happenings come from transitions, so repeats are rare; the quiet time is only a guard against a pool that flaps.
    """

    def __init__(
        self, api: KubeApi, instance: str, *, steady: Callable[[], float], wall: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._instance = instance
        self._steady = steady
        self._wall = wall
        self._said: dict[tuple[str, Happening], float] = {}

    async def record(self, pool: Body, happenings: Iterable[Happening]) -> None:
        """Writes one event for each happening of ``pool``, an object as the API server speaks of it.

        A refused or lost event is logged and forgotten: nobody's work hangs on it.
        """
        for happening in happenings:
            if self._is_news(pool["metadata"]["uid"], happening):
                await self._write(pool, happening)

    async def _write(self, pool: Body, happening: Happening) -> None:
        try:
            await self._api.create(EVENTS, event(pool, happening, self._instance, self._wall()))
        except ApiError as error:
            meta = pool["metadata"]
            fields = {"namespace": meta["namespace"], "pool": meta["name"], "error": str(error)}
            logger.warning("Could not write an event", extra=fields)

    def _is_news(self, uid: str, happening: Happening) -> bool:
        now = self._steady()
        self._said = {said: at for said, at in self._said.items() if now - at < QUIET_SECONDS}
        news = (uid, happening) not in self._said
        self._said.setdefault((uid, happening), now)
        return news


def event(pool: Body, happening: Happening, instance: str, now: datetime) -> Body:
    """The Event that tells of ``happening``; the API server completes its name."""
    meta = pool["metadata"]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"namespace": meta["namespace"], "generateName": f"{meta['name']}-"},
        "eventTime": micro_time(now),
        "type": happening.severity,
        "reason": happening.reason,
        "action": ACTION,
        "note": happening.message[:LONGEST_NOTE],
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": POOLS.api_version,
            "kind": POOLS.kind,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
    }
