"""WorkerPool: write handlers, run them as background workers that scale themselves.

This is all that applications import; every other module is the runner's own.
"""

from workerpool.context import JobContext
from workerpool.errors import (
    ConfigError,
    JobTimeout,
    LeaseLost,
    PayloadError,
    RetryableError,
    SchemaError,
    SourceError,
    SourceUnavailable,
    TerminalError,
    WorkerPoolError,
)
from workerpool.producer import get_producer, publish
from workerpool.retry import RetryPolicy
from workerpool.worker import Worker, worker

__all__ = [
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
]
