"""What applications may import. A name that is added or removed here is a decision, and a line in the changelog."""

import subprocess
import sys

import workerpool

PUBLIC = {
    "ConfigError",
    "JobContext",
    "JobTimeout",
    "LeaseLost",
    "PayloadError",
    "RetryPolicy",
    "RetryableError",
    "SchemaError",
    "SourceError",
    "SourceUnavailable",
    "TerminalError",
    "Worker",
    "WorkerPoolError",
    "get_producer",
    "publish",
    "worker",
}

NOT_FOR_HANDLERS = ("asyncpg", "click", "pebble", "psutil", "rich", "uvloop")


def test_the_public_names() -> None:
    assert set(workerpool.__all__) == PUBLIC
    assert all(hasattr(workerpool, name) for name in PUBLIC)


def test_importing_the_library_loads_neither_servers_nor_terminals() -> None:
    program = f"import sys, workerpool; print([name for name in {NOT_FOR_HANDLERS!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
