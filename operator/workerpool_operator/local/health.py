"""What a runner says of itself on its /health page, fetched over HTTP from this machine."""

import asyncio
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from workerpool_contract import names

LIMIT = 1 << 16
TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """One answer. ``live``: its loop turns. ``ready``: its /ready says so too, which is what Kubernetes asks.

    ``busy``: jobs that it runs. ``service_seconds``: mean time of a job, None until known. ``detail``: each failing
    check, with its words after a colon.
    """

    live: bool
    ready: bool
    busy: int
    slots: int | None
    completed: int
    failed: int
    service_seconds: float | None
    detail: str = ""


async def fetch(port: int) -> Health | None:
    """The health of the runner on ``port`` of the loopback interface, None when it gives no usable answer in time."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return parse(await _get(port))
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return None


def parse(body: bytes) -> Health:
    """Reads the JSON of /health. Raises ValueError when it is something else."""
    page = from_json(body)
    if not isinstance(page, dict) or not isinstance(page.get("worker"), dict):
        message = "not the health page of a runner"
        raise ValueError(message)  # noqa: TRY004 - bad content from outside, not a bad argument
    worker, checks = page["worker"], _dict(page.get("checks"))
    failing = [name for name, check in checks.items() if _dict(check).get("ok") is False]
    service = worker.get("serviceSeconds")
    busy = int(worker.get("busy") or 0)
    # A server that is away makes no runner unready that still has jobs, a storage that is away none at all.
    needed = {"consuming"} if busy else {"consuming", "source"}
    return Health(
        live="loop" not in failing,
        ready=not needed & {*failing} and worker.get("draining") is not True,
        busy=busy,
        slots=int(worker["concurrency"]) if worker.get("concurrency") else None,
        completed=int(worker.get("completed") or 0),
        failed=int(worker.get("failed") or 0),
        service_seconds=None if service is None else float(service),
        detail="; ".join(_words(name, _dict(checks[name])) for name in _causes(failing)),
    )


async def _get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {names.PATH_HEALTH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.read(LIMIT)
        while chunk := await reader.read(LIMIT):
            answer += chunk
    finally:
        writer.close()
    return answer.partition(b"\r\n\r\n")[2]


def _causes(failing: list[str]) -> list[str]:
    """Those that aren't the mere consequence of another: without its source, no runner consumes."""
    return [name for name in failing if name != "consuming" or "source" not in failing]


def _words(name: str, check: dict[str, Any]) -> str:
    return f"{name}: {check['detail']}" if check.get("detail") else f"{name} not ok"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
