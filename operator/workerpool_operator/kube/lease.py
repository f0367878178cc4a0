"""Leader election by a Lease: of several operators one works, the others stand by.

Every renewal buys a window of trust, counted from the moment before it was sent. Only within that window may the leader
write; others take over no sooner than a whole lease after they saw the renewal, which is later. A leader that was
frozen or cut off therefore stops on its own, without being told.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workerpool_operator.kube.api import LEASES, ApiError, Body, Conflict, KubeApi, NotFound, micro_time

logger = logging.getLogger(__name__)

Trusted = Callable[[], bool]
"""Whether this process may write now."""
Work = Callable[[Trusted], Coroutine[Any, Any, None]]
"""What a leader does; cancelled when leadership is lost."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who stands for which Lease. ``identity`` differs between processes, also between two lives of one pod.

    ``duration``: seconds after the last renewal that others wait before they take over; ``trust``: seconds after its
    own last renewal that a leader goes on; ``retry``: seconds between two attempts. Raises ValueError unless
    retry < trust < duration.
    """

    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    trust: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.trust < self.duration:
            raise ValueError(
                f"retry {self.retry:g} s < trust {self.trust:g} s < duration {self.duration:g} s must hold"
            )


async def lead(
    api: KubeApi,
    candidate: Candidate,
    work: Work,
    *,
    steady: Callable[[], float],
    wall: Callable[[], datetime],
) -> None:
    """Stands by until the Lease is free, works while holding it, stands by again after a loss; ends with ``work``.

    ``steady`` counts seconds and never stands still, ``wall`` tells the time with its zone. An exception of ``work``
    comes out here. The Lease is given back whenever ``work`` has ended, also when this call is cancelled.
    """
    tenure = _Tenure(api, candidate, steady, wall)
    while True:
        await tenure.begin()
        if await _work_until_lost(tenure, work):
            return


async def _work_until_lost(tenure: "_Tenure", work: Work) -> bool:
    """Whether ``work`` ended by itself; otherwise leadership was lost and ``work`` was cancelled."""
    working = asyncio.create_task(work(tenure.trusted))
    renewing = asyncio.create_task(tenure.renew())
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finished = working.done()
    finally:
        # In this order: what still takes its time to end is covered by renewals.
        await _end(working)
        await _end(renewing)
        await tenure.give_back()
    if finished or not working.cancelled():
        working.result()
    return finished


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


class _Tenure:
    """The Lease as this candidate sees it, and until when the candidate may call itself leader."""

    def __init__(
        self, api: KubeApi, candidate: Candidate, steady: Callable[[], float], wall: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._candidate = candidate
        self._steady = steady
        self._wall = wall
        self._until = float("-inf")
        self._held: Body | None = None
        self._seen: tuple[str, object] = ("", None)
        self._seen_at = float("-inf")
        self._said = ""

    def trusted(self) -> bool:
        """Whether the window of trust is open."""
        return self._steady() < self._until

    async def begin(self) -> None:
        """Returns as soon as this candidate holds the Lease."""
        while True:
            if await self._attempt(self._take, self._candidate.trust):
                logger.info("Became leader", extra={"identity": self._candidate.identity})
                return
            await asyncio.sleep(self._candidate.retry)

    async def renew(self) -> None:
        """Keeps the Lease; returns when another has it, or when the window of trust closed before a renewal worked."""
        await asyncio.sleep(self._candidate.retry)
        while self.trusted():
            await self._attempt(self._take, self._until - self._steady())
            await asyncio.sleep(min(self._candidate.retry, max(0.0, self._until - self._steady())))
        logger.warning("Lost leadership", extra={"identity": self._candidate.identity})

    async def give_back(self) -> None:
        """Lets others take over at once. Without effect when the Lease is not held any more."""
        # A renewal that was cut off may have reached the server: then what is known here is out of date, which the
        # first attempt finds out, and the second reads the Lease again.
        for _ in range(2):
            if not self.trusted() or await self._attempt(self._free, self._until - self._steady()):
                break
        self._until = float("-inf")
        self._held = None

    async def _attempt(self, action: Callable[[], Coroutine[Any, Any, bool]], seconds: float) -> bool:
        """Whether ``action`` succeeded within ``seconds``; an error of the server is no success."""
        try:
            async with asyncio.timeout(seconds):
                done = await action()
            self._said = ""
            return done
        except Conflict:
            self._held = None
        except (ApiError, TimeoutError) as error:
            words = str(error) or "no answer in time"
            if words != self._said:
                logger.warning("Could not reach the lease", extra={"error": words})
            self._said = words
        return False

    async def _take(self) -> bool:
        """Creates, takes over or renews the Lease. Raises ApiError; Conflict when another was quicker."""
        begun = self._steady()
        lease = self._held or await self._look()
        if lease is not None and not self._free_to_take(lease):
            self._until = float("-inf")
            return False
        if lease is None:
            self._held = await self._api.create(LEASES, self._lease(None))
        else:
            self._held = await self._api.update(LEASES, self._lease(lease))
        self._until = begun + self._candidate.trust
        return True

    async def _free(self) -> bool:
        """Takes this candidate's name out of the Lease, nobody else's. Raises ApiError; Conflict when it changed."""
        lease = self._held or await self._look()
        spec = (lease or {}).get("spec") or {}
        if lease is not None and spec.get("holderIdentity") == self._candidate.identity:
            freed = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._api.update(LEASES, {**lease, "spec": freed})
        return True

    async def _look(self) -> Body | None:
        """The Lease; notes when it was first seen as it is."""
        with suppress(NotFound):
            lease = await self._api.get(LEASES, self._candidate.namespace, self._candidate.name)
            spec = lease.get("spec") or {}
            seen = (str(spec.get("holderIdentity") or ""), spec.get("renewTime"))
            if seen != self._seen:
                self._seen, self._seen_at = seen, self._steady()
            return lease
        return None

    def _free_to_take(self, lease: Body) -> bool:
        """Whether nobody holds it, or this candidate, or somebody who has not renewed it for its whole duration.

        How long that is, is measured here: the clocks of two machines may differ.
        """
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        duration = float(spec.get("leaseDurationSeconds") or self._candidate.duration)
        return not holder or holder == self._candidate.identity or self._steady() >= self._seen_at + duration

    def _lease(self, before: Body | None) -> Body:
        """The Lease with this candidate as its holder."""
        candidate = self._candidate
        now = micro_time(self._wall())
        old = (before or {}).get("spec") or {}
        mine = old.get("holderIdentity") == candidate.identity
        spec = {
            "holderIdentity": candidate.identity,
            # Whole seconds, and never less than meant.
            "leaseDurationSeconds": -int(-candidate.duration // 1),
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + (0 if mine or before is None else 1),
        }
        meta = before["metadata"] if before else {"namespace": candidate.namespace, "name": candidate.name}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}
