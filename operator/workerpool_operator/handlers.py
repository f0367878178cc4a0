"""Kopf as informer: what the API server tells goes to one function; nothing is stored on objects, nothing is decided.

Only `on.event` is used: it needs neither finalizers nor annotations, and so no right to change what it watches.
"""

from collections.abc import Callable
from typing import Any

import kopf

from workerpool_operator.kube.account import ServiceAccount
from workerpool_operator.kube.api import DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, POOLS, Body, Resource
from workerpool_operator.kube.relist import selector_of

Told = Callable[[Resource, str | None, Body], None]
"""Takes an object and what happened to it: ADDED, MODIFIED, DELETED, or None when it was only listed."""

WATCH_SECONDS = 600
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
# Seconds between attempts to reach the API server; who is refused for a minute gives up. Growing ones, as kopf has,
# would leave the watches blind for up to 21 s after an outage is over.
RETRIES = (1, 1, 2, 3, *(5,) * 11)


def registry_for(told: Told, account: ServiceAccount | None) -> kopf.OperatorRegistry:
    """The handlers. ``account``: of the pod that this runs in; without one the kubeconfig is used."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf's own arguments
        return kopf.login_with_kubeconfig(**kwargs) if account is None else connection(account)

    @kopf.on.event(*_address(POOLS), registry=registry)
    async def pools(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - as above
        told(POOLS, event["type"], dict(event["object"]))

    @kopf.on.event(*_address(DEPLOYMENTS), registry=registry)
    async def deployments(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - as above
        told(DEPLOYMENTS, event["type"], dict(event["object"]))

    @kopf.on.event(*_address(DISRUPTION_BUDGETS), registry=registry)
    async def budgets(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - as above
        told(DISRUPTION_BUDGETS, event["type"], dict(event["object"]))

    @kopf.on.event(*_address(PODS), registry=registry)
    async def pods(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - as above
        told(PODS, event["type"], dict(event["object"]))

    return registry


def settings_for_kopf() -> kopf.OperatorSettings:
    """Kopf without everything that it could do besides: no peering, no events of its own, no search for kinds."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.error_backoffs = RETRIES
    settings.process.ultimate_exiting_timeout = None
    for resource in (DEPLOYMENTS, DISRUPTION_BUDGETS, PODS):
        settings.watching.label_selectors[_address(resource)] = selector_of(resource) or ""
    return settings


def connection(account: ServiceAccount) -> kopf.ConnectionInfo:
    """How kopf reaches the API server from inside a pod; asked again when the token is no longer accepted."""
    return kopf.ConnectionInfo(server=account.server, ca_path=str(account.authority), token=account.token())


def _address(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.plural
