"""The probes of a parent: its children's, asked over loopback and put together.

``/live`` asks that no running child is stuck; one that is starting, or crashed and about to be started again, is the
parent's own business and no reason to end its healthy siblings. ``/ready`` asks that one child is ready. Numbers add
up, the oldest job is the oldest of all, and the mean time of a handler is weighted by completed jobs.
"""

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from workerpool.exposition import merge
from workerpool.probes import Answer, iso
from workerpool_contract.names import PATH_HEALTH, PATH_LIVE, PATH_METRICS, PATH_READY

ASK_SECONDS: Final = 2.0

_CHECKS: Final = ("loop", "source", "consuming")
_SUMMED: Final = ("concurrency", "busy", "buffered", "completed", "failed")


@dataclass(frozen=True, slots=True)
class ChildAddress:
    """One child slot: its number, its process (None while it waits to be started again), the port of its probes."""

    number: int
    pid: int | None
    port: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A child's answer: HTTP status (0 when none came) and body."""

    status: int
    body: str = ""

    @property
    def ok(self) -> bool:
        """Whether the child said 200."""
        return self.status == http.client.OK

    def json(self) -> dict[str, Any]:
        """The body as JSON, empty when it isn't."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


Ask = Callable[[ChildAddress, str, str], Reply]
"""Child, path and Accept header to its reply."""


def ask_child(child: ChildAddress, path: str, accept: str) -> Reply:
    """Asks ``child`` over loopback; status 0 when it has no port yet or doesn't answer within two seconds."""
    if child.port is None:
        return Reply(0)
    connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        return Reply(response.status, response.read().decode())
    except (OSError, http.client.HTTPException):
        return Reply(0)
    finally:
        connection.close()


class ChildrenProbes:
    """The probes of a supervising parent (see `workerpool.probes.Probes`)."""

    def __init__(
        self,
        children: Callable[[], Sequence[ChildAddress]],
        pid: int,
        now: Callable[[], datetime],
        ask: Ask = ask_child,
    ) -> None:
        """``children`` is called from the probe's threads; ``now`` is the wall clock."""
        self._children = children
        self._pid = pid
        self._now = now
        self._ask = ask

    def live(self) -> Answer:
        """Ok unless a running child is stuck or silent."""
        replies = self._ask_all(PATH_LIVE)
        ok = all(reply.ok for child, reply in replies if child.pid is not None and child.port is not None)
        return Answer(ok, self._body("live" if ok else "stuck", replies))

    def ready(self) -> Answer:
        """Ok when at least one child is ready."""
        replies = self._ask_all(PATH_READY)
        ok = any(reply.ok for _, reply in replies)
        return Answer(ok, self._body("ready" if ok else "not ready", replies))

    def health(self) -> Answer:
        """The sum of the children's, and each of them under ``processes``."""
        replies = self._ask_all(PATH_HEALTH)
        bodies = [reply.json() for _, reply in replies]
        status = merge_status([str(body.get("status", "starting")) for body in bodies])
        checks = {
            name: {"ok": all(body.get("checks", {}).get(name, {}).get("ok", True) for body in bodies)}
            for name in dict.fromkeys([*_CHECKS, *(name for body in bodies for name in body.get("checks", {}))])
        }
        return Answer(
            status != "unhealthy",
            {"status": status, "worker": self._worker(bodies), "checks": checks} | self._processes(replies),
        )

    def metrics_text(self) -> str:
        """Every child's metrics, each sample with the label ``process``."""
        replies = self._ask_all(PATH_METRICS, "text/plain")
        return merge({str(child.number): reply.body for child, reply in replies if reply.ok})

    def metrics_json(self) -> Mapping[str, Any]:
        """The sum of the children's."""
        bodies = [reply.json() for _, reply in self._ask_all(PATH_METRICS, "application/json")]
        queues = [body["queue"] for body in bodies if "queue" in body]
        return {"worker": self._worker(bodies), "queue": merge_queue(queues), "timestamp": iso(self._now())}

    def _ask_all(self, path: str, accept: str = "application/json") -> list[tuple[ChildAddress, Reply]]:
        children = self._children()
        with ThreadPoolExecutor(max(1, len(children))) as pool:
            return list(zip(children, pool.map(lambda child: self._ask(child, path, accept), children), strict=True))

    def _worker(self, bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return merge_worker([body["worker"] for body in bodies if "worker" in body], self._pid)

    def _body(self, word: str, replies: Sequence[tuple[ChildAddress, Reply]]) -> dict[str, Any]:
        return {"status": word} | self._processes(replies)

    def _processes(self, replies: Sequence[tuple[ChildAddress, Reply]]) -> dict[str, Any]:
        processes = [
            {"process": child.number, "pid": child.pid} | (reply.json() or {"status": _silent(child)})
            for child, reply in replies
        ]
        return {"processes": processes, "timestamp": iso(self._now())}


def merge_status(statuses: Sequence[str]) -> str:
    """Draining as soon as one child drains; unhealthy when a child is, or when none is healthy."""
    if "draining" in statuses:
        return "draining"
    return "healthy" if "healthy" in statuses and "unhealthy" not in statuses else "unhealthy"


def merge_worker(workers: Sequence[Mapping[str, Any]], pid: int) -> dict[str, Any]:
    """The ``worker`` object of several children, in the shape of one."""
    queues = list(dict.fromkeys(queue for worker in workers for queue in worker["queues"]))
    ages = [worker["oldestJobSeconds"] for worker in workers if worker["oldestJobSeconds"] is not None]
    return {
        "isRunning": any(worker["isRunning"] for worker in workers),
        "queueName": ",".join(queues),
        "queues": queues,
        **{name: sum(worker[name] for worker in workers) for name in _SUMMED},
        "draining": any(worker["draining"] for worker in workers),
        "pid": pid,
        "boot": ",".join(worker["boot"] for worker in workers),
        "oldestJobSeconds": max(ages, default=None),
        "serviceSeconds": _weighted_service(workers),
    }


def merge_queue(queues: Sequence[Mapping[str, int | None]]) -> dict[str, int | None]:
    """Children of one runner share their queues: what the server said is the same for all, so the largest is kept.

    Without its answer (``waiting`` null) the rest are the children's own counts, and those add up.
    """
    merged: dict[str, int | None] = {}
    shared = any(queue["waiting"] is not None for queue in queues)
    for name in ("waiting", "active", "completed", "failed", "delayed"):
        known = [value for queue in queues if (value := queue[name]) is not None]
        merged[name] = None if not known else max(known) if shared else sum(known)
    return merged


def _weighted_service(workers: Sequence[Mapping[str, Any]]) -> float | None:
    known = [(worker["serviceSeconds"], worker["completed"] + worker["failed"]) for worker in workers]
    pairs = [(seconds, max(1, weight)) for seconds, weight in known if seconds is not None]
    total = sum(weight for _, weight in pairs)
    return sum(seconds * weight for seconds, weight in pairs) / total if total else None


def _silent(child: ChildAddress) -> str:
    if child.pid is None:
        return "restarting"
    return "starting" if child.port is None else "silent"
