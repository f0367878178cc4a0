"""A parent to be killed: starts one replica of the fake runner and waits. `orphan.py FOLDER`."""

import asyncio
import os
import sys
import time
from pathlib import Path

from workerpool_contract.environment import RunnerSettings
from workerpool_operator.local.replica import Plan, Replica

FAKE = Path(__file__).with_name("fake_runner.py")


async def main(folder: Path) -> None:
    """Never returns."""
    plan = Plan(
        name="orphan",
        command=(sys.executable, str(FAKE), str(folder), "ok"),
        settings=RunnerSettings(),
        environ=dict(os.environ),
        log=folder / "orphan.log",
    )
    replica = Replica(plan, time.monotonic)
    replica.start()
    await replica.ended()


asyncio.run(main(Path(sys.argv[1])))
