"""What the operator asks of a Kubernetes API server. Objects are plain dicts, as in a manifest.

The only implementation is `kube.client`; everything else depends on the protocol of this module.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from workerpool_contract import names
from workerpool_contract.urls import without_passwords

Body = dict[str, Any]
"""One object as the API server speaks of it: apiVersion, kind, metadata, spec, status, …"""

LONGEST: Final = 300
"""Characters that an error says at most: it has to fit into a condition, beside other words."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object. ``group`` is "" for the core group; ``plural`` is its name in addresses and in rights."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As in a manifest: "apps/v1", or "v1" for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str | None = None) -> str:
        """Address of one object, or of all of a namespace, or (``namespace`` None) of all namespaces.

        Raises ValueError for a name that would lead to another object's address.
        """
        parts = [f"/apis/{self.group}" if self.group else "/api", self.version]
        parts += ["namespaces", namespace] if namespace is not None else []
        parts += [self.plural, name, subresource or ""]
        if {".", ".."} & set(parts):
            raise ValueError(f"{self.kind} {namespace}/{name}: not a name")
        return "/".join([parts[0], *(quote(part, safe="") for part in parts[1:] if part)])


POOLS: Final = Resource(names.API_GROUP, names.API_VERSION, names.PLURAL, names.KIND)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
PODS: Final = Resource("", "v1", "pods", "Pod")
DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")


def micro_time(moment: datetime) -> str:
    """A moment with its zone as Kubernetes writes it where seconds are too coarse."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# No answer, a race with somebody else, too many requests, a server that cannot work now.
PASSING: Final = frozenset({0, 409, 429, 502, 503, 504})


class ApiError(Exception):
    """The API server refused or failed.

    ``status``: the HTTP status, 0 when there was no answer. ``reason``: one word for a condition ("Forbidden").
    ``message``: for people, one line of at most `LONGEST` characters; passwords of URLs are hidden.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        words = " ".join(without_passwords(message).split())
        super().__init__(words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")
        self.status = status
        self.reason = reason

    @property
    def message(self) -> str:
        """What `str` says."""
        return str(self)

    @property
    def passes(self) -> bool:
        """Whether asking again in a moment may help, without anybody changing anything."""
        return self.status in PASSING


class NotFound(ApiError):
    """404: no such object, or no such kind of object."""


class Conflict(ApiError):
    """409: it was changed in between (``reason`` "Conflict"), or it exists already ("AlreadyExists")."""


class Forbidden(ApiError):
    """403: the operator's role lacks this right, or an admission policy or a quota says no."""


class Invalid(ApiError):
    """400 or 422: the object breaks a rule of its kind. Asking again with the same object cannot help."""


class Unreachable(ApiError):
    """No answer, or none in time, or the server says that it cannot work now (502, 503, 504): ask again later."""


class KubeApi(Protocol):
    """The calls. Every one of them answers within its time limit, or raises ApiError or one of its subclasses."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """The object. Raises NotFound."""
        ...

    async def list(self, resource: Resource, namespace: str | None = None, selector: str | None = None) -> list[Body]:
        """Every object (of a namespace, of all when None) with the labels of ``selector`` ("a=b,c=d")."""
        ...

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str | None = None) -> Body:
        """Server-side apply with force. Answers the object as it is now.

        The fields in ``body`` become ``manager``'s; those that it had before and that are missing now are removed. The
        object is created when there is none. ``body`` names namespace and name; apiVersion and kind are filled in. When
        nothing changes, the resourceVersion stays.
        """
        ...

    async def merge(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Merge patch: sets what ``body`` has, removes what it has as None, leaves the rest. Raises NotFound."""
        ...

    async def create(self, resource: Resource, body: Body) -> Body:
        """Makes a new object. Raises Conflict when there is one of that name."""
        ...

    async def update(self, resource: Resource, body: Body) -> Body:
        """Replaces the object; raises Conflict when its resourceVersion is not the one in ``body`` any more."""
        ...

    async def close(self) -> None:
        """Ends the connections; nothing may be called afterwards."""
        ...
