"""An API that writes only while this process is trusted to lead; see `kube.lease`."""

from collections.abc import Callable
from dataclasses import dataclass

from workerpool_operator.kube.api import Body, KubeApi, Resource, Unreachable


@dataclass(frozen=True, slots=True)
class Guarded:
    """`KubeApi` whose writes raise Unreachable (reason "NotLeading") while ``trusted`` is false.

    A frozen process that goes on asks before its first write, so it changes nothing that its successor decided.
    """

    api: KubeApi
    trusted: Callable[[], bool]

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """See `KubeApi.get`."""
        return await self.api.get(resource, namespace, name)

    async def list(self, resource: Resource, namespace: str | None = None, selector: str | None = None) -> list[Body]:
        """See `KubeApi.list`."""
        return await self.api.list(resource, namespace, selector)

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str | None = None) -> Body:
        """See `KubeApi.apply`."""
        self._check()
        return await self.api.apply(resource, body, manager=manager, subresource=subresource)

    async def merge(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.merge`."""
        self._check()
        return await self.api.merge(resource, namespace, name, body)

    async def create(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.create`."""
        self._check()
        return await self.api.create(resource, body)

    async def update(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.update`."""
        self._check()
        return await self.api.update(resource, body)

    async def close(self) -> None:
        """See `KubeApi.close`."""
        await self.api.close()

    def _check(self) -> None:
        if not self.trusted():
            raise Unreachable(0, "NotLeading", "another operator may lead by now, so nothing was written")
