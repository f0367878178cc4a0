"""Complete listings of everything that is watched: at the start, before anything is decided, and now and then.

A watch that breaks and begins anew tells of what exists, never of what was deleted in between. A listing does.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from workerpool_contract import names
from workerpool_operator.kube.api import POOLS, ApiError, Forbidden, KubeApi, NotFound, Resource
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.world import WATCHED, World
from workerpool_operator.settings import PREFIX

logger = logging.getLogger(__name__)

SELECTOR = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"
# Seconds between two listings: at the most, and at the least when a watch began anew.
INTERVAL = 300.0
LEAST_INTERVAL = 20.0
RETRY = 2.0
# Refusals in a row after which a namespace is left out: rights that come with the operator may take a moment.
PATIENCE = 3


class Relist:
    """Lists into ``world``. ``namespaces``: empty means everywhere. ``changed``: told the pools that look different.

    Of several namespaces those without rights are left out, so that a deleted one keeps none of the others waiting.
    """

    def __init__(
        self, api: KubeApi, world: World, namespaces: Sequence[str], changed: Callable[[PoolKey], None]
    ) -> None:
        self._api = api
        self._world = world
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._changed = changed
        self._asked = asyncio.Event()
        self.done = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        """What is listed, and can be watched; empty means everywhere."""
        return tuple(namespace for namespace in self._namespaces if namespace is not None)

    def ask(self) -> None:
        """Has a listing begin soon: a watch began anew."""
        self._asked.set()

    async def first(self) -> None:
        """Returns after the first complete listing. Until there is one, says why and tries again."""
        said, refusals = "", 0
        while not self.done:
            try:
                await self._all()
            except ApiError as error:
                words = _explained(error)
                if words != said:
                    logger.warning("Waiting for the API server: %s", words)
                said = words
                refusals = refusals + 1 if isinstance(error, Forbidden) else 0
                if refusals == PATIENCE:
                    refusals = 0
                    await self._leave_out()
                await asyncio.sleep(RETRY)

    async def run(self) -> None:
        """Lists again and again."""
        while True:
            await asyncio.sleep(LEAST_INTERVAL)
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes together with the event.
                async with asyncio.timeout(INTERVAL - LEAST_INTERVAL):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._all()
            except ApiError as error:
                logger.warning("Could not list what is watched: %s", error)
                self._asked.set()

    async def _leave_out(self) -> None:
        """Goes on without the namespaces where something may not be listed, unless that is all of them."""
        refused = {namespace for namespace in self._namespaces if not await self._is_allowed(namespace)}
        if len(refused) < len(self._namespaces):
            self._namespaces = [namespace for namespace in self._namespaces if namespace not in refused]
            for namespace in refused:
                logger.error(
                    "Namespace %s is left out: the operator has no rights there, or it does not exist. "
                    "Install the chart's Role there, or take it out of %s; then restart the operator",
                    namespace,
                    f"{PREFIX}NAMESPACES",
                )

    async def _is_allowed(self, namespace: str | None) -> bool:
        try:
            for resource in WATCHED:
                await self._api.list(resource, namespace, selector_of(resource))
        except ApiError as error:
            return not isinstance(error, Forbidden)
        return True

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
