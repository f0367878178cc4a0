"""Listens as an operator and as a runner do by default, asks both on either loopback, and prints who answered.

Needs a network of its own, where nobody else can reach the two.
"""

import asyncio
import sys
import urllib.request

from tests.support.ports import free_port
from workerpool.probe_server import ProbeServer
from workerpool.probes import Answer
from workerpool_contract.environment import RunnerSettings
from workerpool_operator.health import HealthServer
from workerpool_operator.metrics import Metrics
from workerpool_operator.settings import OperatorSettings


class _Content:
    """Probes of a runner that lacks nothing."""

    def live(self) -> Answer:
        return Answer(ok=True, body={})

    ready = health = live

    def metrics_text(self) -> str:
        return ""

    def metrics_json(self) -> dict[str, object]:
        return {}


async def main() -> None:
    """Prints a line "name address status" for each answer."""
    health = HealthServer(Metrics(), live=[], ready=[])
    probes = ProbeServer(_Content(), RunnerSettings().probe_host, 0)
    ports = {"healthz": await health.start(OperatorSettings().host, free_port()), "live": probes.start()}
    for path, port in ports.items():
        for address in ("127.0.0.1", "[::1]"):
            status = await asyncio.to_thread(_ask, f"{address}:{port}/{path}")
            sys.stdout.write(f"{path} {address} {status}\n")
    probes.close()
    await health.close()


def _ask(where: str) -> int:
    with urllib.request.urlopen(f"http://{where}", timeout=10) as answer:
        return int(answer.status)


if __name__ == "__main__":
    asyncio.run(main())
