"""A worker whose handler runs in a child process: writes its process id, then computes for ever if asked to."""

import os
from pathlib import Path
from typing import Any

from workerpool import worker


@worker(topic="heavy", executor="process", concurrency=1)
def compute(job: dict[str, Any]) -> dict[str, int]:
    """``file``: where the process id goes; ``forever``: never ends."""
    Path(job["file"]).write_text(str(os.getpid()))
    while job.get("forever"):
        sum(range(1000))
    return {"pid": os.getpid()}
