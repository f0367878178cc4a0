"""What the archive counts: objects, bytes, the time of uploads and the failed tries, as text for /metrics."""

from dataclasses import dataclass, field

from workerpool.archive.faults import Kind
from workerpool.exposition import Family, counter, gauge, histogram_family, text_of
from workerpool.metrics import DURATION_BOUNDS, Histogram


@dataclass(slots=True)
class ArchiveCounts:
    """Counters of one process. Written by the loop's thread, read by the probe's."""

    upload_seconds: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS))
    messages: int = 0
    stored_bytes: int = 0
    failures: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def stored(self, messages: int, size: int, seconds: float) -> None:
        """An object of ``size`` bytes with so many messages was confirmed after ``seconds``."""
        self.upload_seconds.observe(seconds)
        self.messages += messages
        self.stored_bytes += size

    def failed(self, kind: Kind) -> None:
        """A call to the storage failed."""
        self.failures[kind] += 1

    def text(self, *, is_up: bool) -> str:
        """The exposition; ``is_up``: whether the storage took the last call."""
        name = "workerpool_archive"
        return text_of(
            [
                histogram_family(f"{name}_upload_seconds", "Time of one confirmed upload.", self.upload_seconds),
                counter(f"{name}_objects_total", "Objects confirmed.", sum(self.upload_seconds.counts)),
                counter(f"{name}_messages_total", "Messages in them.", self.messages),
                counter(f"{name}_bytes_total", "Bytes in them.", self.stored_bytes),
                Family(
                    f"{name}_failures_total",
                    "counter",
                    "Failed calls to the storage, by what they mean.",
                    [("", {"kind": kind}, count) for kind, count in self.failures.items()],
                ),
                gauge(f"{name}_storage_up", "1 while the storage takes objects.", is_up),
            ]
        )
