"""Complete listings of everything that is watched: at the start, before anything is decided, and now and then.

A watch that breaks and begins anew tells of what exists, never of what was deleted in between. A listing does.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from workerpool_contract import names
from workerpool_operator.kube.api import POOLS, ApiError, KubeApi, NotFound, Resource
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.world import WATCHED, World

logger = logging.getLogger(__name__)

SELECTOR = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"
# Seconds between two listings: at the most, and at the least when a watch began anew.
INTERVAL = 300.0
LEAST_INTERVAL = 20.0
RETRY = 2.0


class Relist:
    """Lists into ``world``. ``namespaces``: empty means everywhere. ``changed``: told the pools that look different."""

    def __init__(
        self, api: KubeApi, world: World, namespaces: Sequence[str], changed: Callable[[PoolKey], None]
    ) -> None:
        self._api = api
        self._world = world
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._changed = changed
        self._asked = asyncio.Event()
        self.done = False

    def ask(self) -> None:
        """Has a listing begin soon: a watch began anew."""
        self._asked.set()

    async def first(self) -> None:
        """Returns after the first complete listing. Until there is one, says why and tries again."""
        said = ""
        while not self.done:
            try:
                await self._all()
            except ApiError as error:
                words = _explained(error)
                if words != said:
                    logger.warning("Waiting for the API server: %s", words)
                said = words
                await asyncio.sleep(RETRY)

    async def run(self) -> None:
        """Lists again and again."""
        while True:
            await asyncio.sleep(LEAST_INTERVAL)
            try:
                await asyncio.wait_for(self._asked.wait(), INTERVAL - LEAST_INTERVAL)
            except TimeoutError:
                logger.debug("Listing everything again")
            self._asked.clear()
            try:
                await self._all()
            except ApiError as error:
                logger.warning("Could not list what is watched: %s", error)
                self._asked.set()

    async def _all(self) -> None:
        touched: set[PoolKey] = set()
        for resource in WATCHED:
            before = self._world.versions(resource)
            selector = selector_of(resource)
            lists = [await self._api.list(resource, namespace, selector) for namespace in self._namespaces]
            touched |= self._world.listed(resource, [body for bodies in lists for body in bodies], before)
        self.done = True
        for key in sorted(touched):
            self._changed(key)


def _explained(error: ApiError) -> str:
    if isinstance(error, NotFound):
        return f"the kind {names.KIND} is not known there; install the CustomResourceDefinition of the chart ({error})"
    return str(error)


def selector_of(resource: Resource) -> str | None:
    """The labels by which a kind is watched, None for all of it."""
    return None if resource is POOLS else SELECTOR
