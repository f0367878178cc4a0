"""What a runner says of itself on its /health page, fetched over HTTP from this machine."""

import asyncio
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from workerpool_contract import names

LIMIT = 1 << 16
TIMEOUT = 2.0
OWN_CHECKS = {"loop", "source", "consuming"}
"""What a runner needs to be ready; a further check that fails (a storage that is away) is told and no more."""


@dataclass(frozen=True, slots=True)
class Health:
    """One answer. ``live``: its loop turns. ``ready``: it is connected and consuming.

    ``busy``: jobs that it runs. ``service_seconds``: mean time of a job, None until known. ``detail``: failing checks.
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
    return Health(
        live="loop" not in failing,
        ready=page.get("status") == "healthy" or (bool(failing) and not OWN_CHECKS & {*failing}),
        busy=int(worker.get("busy") or 0),
        slots=int(worker["concurrency"]) if worker.get("concurrency") else None,
        completed=int(worker.get("completed") or 0),
        failed=int(worker.get("failed") or 0),
        service_seconds=None if service is None else float(service),
        detail=", ".join(f"{name} not ok" for name in failing),
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


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
