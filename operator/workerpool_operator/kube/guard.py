"""The API server behind a door: writes pass only while this process may write, and are counted."""

from collections.abc import Callable

from workerpool_operator.kube.api import ApiError, Body, KubeApi, Resource


class NotLeading(ApiError):
    """Another process may be the leader now: nothing is written."""

    def __init__(self) -> None:
        super().__init__(0, "NotLeading", "leadership could not be renewed in time, so nothing is written")


class Guarded:
    """`KubeApi` over another one. ``may_write``: asked before every write; ``wrote``: told the kind after it."""

    def __init__(self, api: KubeApi, may_write: Callable[[], bool], wrote: Callable[[Resource], None]) -> None:
        self._api = api
        self._may_write = may_write
        self._wrote = wrote

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """See `KubeApi.get`."""
        return await self._api.get(resource, namespace, name)

    async def list(self, resource: Resource, namespace: str | None = None, selector: str | None = None) -> list[Body]:
        """See `KubeApi.list`."""
        return await self._api.list(resource, namespace, selector)

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str | None = None) -> Body:
        """See `KubeApi.apply`."""
        self._check()
        return self._done(resource, await self._api.apply(resource, body, manager=manager, subresource=subresource))

    async def merge(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.merge`."""
        self._check()
        return self._done(resource, await self._api.merge(resource, namespace, name, body))

    async def create(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.create`."""
        self._check()
        return self._done(resource, await self._api.create(resource, body))

    async def update(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.update`."""
        self._check()
        return self._done(resource, await self._api.update(resource, body))

    async def close(self) -> None:
        """See `KubeApi.close`."""
        await self._api.close()

    def _check(self) -> None:
        if not self._may_write():
            raise NotLeading

    def _done(self, resource: Resource, written: Body) -> Body:
        self._wrote(resource)
        return written
