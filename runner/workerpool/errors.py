"""Every error that WorkerPool raises on purpose.

WorkerPoolError
├── ConfigError              something the user wrote is wrong: names the field, the value and the cure
│   ├── ManifestError        (operator package) a manifest field, with its line
│   └── PayloadError         a payload that is not JSON or over the limit
├── SourceError              the queue's server
│   ├── SourceUnavailable    unreachable or refusing: retried with back-off
│   └── SchemaError          missing or newer migrations: `workerpool migrate` or a newer release
├── RetryableError           raised by handlers: try again later (optional delay)
├── TerminalError            raised by handlers: dead-letter now
│   └── InvalidPayload       … since the message itself is at fault
├── HandBack                 raised by ready-made workers: not now, through no fault of the job
├── JobTimeout               the attempt took longer than its worker allows; told to on_error, never raised in handlers
└── LeaseLost                this attempt no longer owns the job: its effects must not be recorded
"""


class WorkerPoolError(Exception):
    """Root of all errors of this package."""


class ConfigError(WorkerPoolError):
    """Bad input: the message names the field, the value and the cure."""


class PayloadError(ConfigError):
    """A payload that is not JSON, not serialisable, or larger than the limit."""


class SourceError(WorkerPoolError):
    """The queue's server answered in a way that the caller must know of."""


class SourceUnavailable(SourceError):
    """The queue's server can't be reached or ended the connection; the caller may try again."""


class SchemaError(SourceError):
    """The database lacks migrations or is ahead of this release."""


class RetryableError(WorkerPoolError):
    """Raised by a handler: the job failed for now. ``delay`` (seconds) overrides the retry policy's delay."""

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        """``delay``: seconds until the next attempt, None to let the policy decide."""
        super().__init__(message)
        self.delay = delay


class TerminalError(WorkerPoolError):
    """Raised by a handler: no retry can help; the job becomes a dead letter at once."""


class InvalidPayload(TerminalError):
    """Raised by a handler: the message itself is at fault; it becomes a dead letter with the reason invalid."""


class HandBack(WorkerPoolError):
    """Raised by a ready-made worker: the job goes back to its queue at no cost, and may be claimed again at once.

    Whoever raises it has waited before, or the job would go round and round.
    """


class JobTimeout(WorkerPoolError):
    """An attempt ran longer than its worker's timeout and was cut off."""


class LeaseLost(WorkerPoolError):
    """Another runner owns the job now; raised by progress and completion calls of the attempt that lost it."""
