"""`KubeApi` over HTTP: the only module that imports the Kubernetes client.

Of the client it uses what is worth having, configuration, authentication, connections, and neither its generated
models nor its dynamic part, which would have to ask the server for all its kinds first.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config.kube_config import load_kube_config

from workerpool_contract.names import MANAGER
from workerpool_operator.kube.account import ServiceAccount
from workerpool_operator.kube.api import (
    ApiError,
    Body,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Resource,
    Unreachable,
)

TIMEOUT: Final = 10.0
"""Seconds that one call may take."""
PAGE: Final = 500
"""Objects that one answer of a list holds at most."""

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json"

_ERRORS: Final[dict[int, type[ApiError]]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}
_UNAUTHORIZED: Final = 401
_FIRST_ERROR: Final = 400
_FAULT: Final = 500
_MALFORMED: Final = re.compile(
    r"failed to (create typed patch object|convert new object) \([^)]*\)( to proper version)?: "
)
"""How a fault begins that is none of the server's: unknown fields and wrong types in what was to be applied."""

Renew = Callable[[], Awaitable[None]]
"""Gets new credentials."""


class Client:
    """One API server. ``renew`` is awaited when the server does not accept the credentials any more, then asked again.

    Made by `in_pod` or `from_kubeconfig`, inside the event loop that uses it.
    """

    def __init__(self, configuration: Configuration, renew: Renew | None = None, *, timeout: float = TIMEOUT) -> None:
        self._server = str(configuration.host)
        self._client = ApiClient(configuration)
        self._renew = renew
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """See `KubeApi.get`."""
        return await self._call("GET", resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str | None = None, selector: str | None = None) -> list[Body]:
        """See `KubeApi.list`."""
        query: dict[str, str | int] = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        items: list[Body] = []
        while True:
            page = await self._call("GET", resource.path(namespace), query)
            items += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            if not (following := page["metadata"].get("continue")):
                return items
            query["continue"] = following

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str | None = None) -> Body:
        """See `KubeApi.apply`."""
        meta = body["metadata"]
        typed = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        path = resource.path(meta["namespace"], meta["name"], subresource)
        return await self._call("PATCH", path, {"fieldManager": manager, "force": True}, typed, APPLY)

    async def merge(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.merge`."""
        return await self._call("PATCH", resource.path(namespace, name), {"fieldManager": MANAGER}, body, MERGE)

    async def create(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.create`."""
        path = resource.path(body["metadata"]["namespace"])
        return await self._call("POST", path, {"fieldManager": MANAGER}, body)

    async def update(self, resource: Resource, body: Body) -> Body:
        """See `KubeApi.update`."""
        meta = body["metadata"]
        path = resource.path(meta["namespace"], meta["name"])
        return await self._call("PUT", path, {"fieldManager": MANAGER}, body)

    async def close(self) -> None:
        """See `KubeApi.close`."""
        await self._client.close()

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Body | None = None,
        content: str = JSON,
    ) -> Body:
        """One call; with new credentials a second time when the server refuses the old ones."""
        answer = await self._send(method, path, query, body, content)
        if answer.status == _UNAUTHORIZED and self._renew is not None:
            await self._renew()
            answer = await self._send(method, path, query, body, content)
        data = await self._read(answer)
        if answer.status >= _FIRST_ERROR:
            raise _error(answer.status, str(answer.reason or ""), data)
        try:
            parsed: Body = json.loads(data)
        except ValueError:
            words = f"what answers at {self._server} is no API server (no JSON); is a proxy in between?"
            raise Unreachable(answer.status, "Unreachable", words) from None
        return parsed

    async def _send(
        self, method: str, path: str, query: dict[str, Any] | None, body: Body | None, content: str
    ) -> RESTResponse:
        headers = {"Accept": JSON, "Content-Type": content}
        request = await self._client.param_serialize(
            method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            return await self._client.call_api(*request, _request_timeout=self._timeout)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def _read(self, answer: RESTResponse) -> bytes:
        try:
            data: bytes = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        return data

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            words = f"no answer within {self._timeout.total:g} s"
        elif isinstance(error, OSError) and error.strerror:
            words = error.strerror
        else:
            words = str(error) or type(error).__name__
        return Unreachable(0, "Unreachable", f"the API server at {self._server} cannot be reached: {words}")


def in_pod(account: ServiceAccount, *, timeout: float = TIMEOUT) -> Client:
    """A client with the rights of the pod's ServiceAccount. Raises OSError when its files cannot be read."""
    configuration = Configuration(host=account.server, ssl_ca_cert=str(account.authority))
    # A proxy of the environment is for the world outside: the API server is the pod's neighbour.
    configuration.client_session_kwargs = {"trust_env": False}

    def read_token(of: Configuration) -> None:
        of.api_key["BearerToken"] = f"Bearer {account.token()}"

    # Called before every request, so a replaced token is used at once.
    configuration.refresh_api_key_hook = read_token  # type: ignore[assignment] # declared by its first value, None
    read_token(configuration)
    return Client(_lenient(configuration), timeout=timeout)


async def from_kubeconfig(path: Path, context: str | None = None, *, timeout: float = TIMEOUT) -> Client:
    """A client with the rights of a kubeconfig's context, the current one when None.

    Raises kubernetes' ConfigException, a ValueError, when the file lacks what is needed.
    """
    configuration = Configuration()
    loader = await load_kube_config(str(path), context, configuration, persist_config=False)

    async def renew() -> None:
        await loader.load_and_set(configuration)

    return Client(_lenient(configuration), renew, timeout=timeout)


def _lenient(configuration: Configuration) -> Configuration:
    """Accepts authorities as Kubernetes makes them, often without the extensions that Python 3.13 insists on."""
    configuration.disable_strict_ssl_verification = True
    return configuration


def _error(status: int, phrase: str, data: bytes) -> ApiError:
    """The error for an answer; ``data`` is a Status object, or anything when a proxy answered."""
    try:
        answer = json.loads(data)
        reason, message = str(answer.get("reason") or ""), str(answer["message"])
    except (ValueError, TypeError, KeyError, AttributeError):
        reason, message = "", f"the API server answered {status} {phrase}"
    if status == _FAULT and _MALFORMED.match(message):
        return Invalid(status, "Invalid", _MALFORMED.sub("", message))
    return _ERRORS.get(status, ApiError)(status, reason or phrase.replace(" ", "") or "Failed", message)
