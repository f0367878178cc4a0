"""A process that stands for election and, while it leads, writes Secrets that carry its name, through the guard.

Arguments: kubeconfig, namespace, identity, then duration, trust and retry in seconds. Tells on standard output when it
begins to lead, when the guard refuses a write, and when it has stopped.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from workerpool_operator.kube.api import SECRETS, ApiError
from workerpool_operator.kube.client import Client, from_kubeconfig
from workerpool_operator.kube.guard import Guarded
from workerpool_operator.kube.lease import Candidate, lead


async def main() -> None:
    """Runs until it is killed."""
    kubeconfig, namespace, identity, *seconds = sys.argv[1:]
    duration, trust, retry = map(float, seconds)
    client = await from_kubeconfig(Path(kubeconfig))

    async def work(trusted: Callable[[], bool]) -> None:
        tell("leads")
        try:
            await _write(client, trusted, namespace, identity)
        finally:
            tell("stopped")

    candidate = Candidate(namespace, "leader", identity, duration, trust, retry)
    await lead(client, candidate, work, steady=time.monotonic, wall=lambda: datetime.now(UTC))


async def _write(client: Client, trusted: Callable[[], bool], namespace: str, identity: str) -> None:
    """Without a pause: whenever it is frozen, a write is on its way or about to be."""
    guarded = Guarded(client, trusted, lambda _: None)
    meta = {"namespace": namespace, "generateName": "work-", "labels": {"writer": identity}}
    while True:
        try:
            await guarded.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
        except ApiError as error:
            tell(f"{error.reason}: {error}")
        await asyncio.sleep(0)


def tell(words: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
