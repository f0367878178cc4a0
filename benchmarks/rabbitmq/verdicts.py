"""What was asked of WorkerPool on RabbitMQ, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.rabbitmq.contenders import AIO_PIKA, CONTENDERS, US
from benchmarks.report.summary import Figure, ours, pick
from benchmarks.report.verdicts import Comparison, Verdict, times

FRAMEWORKS = {contender.name for contender in CONTENDERS if contender.framework} - {US}
MORE = 1.5
"""Times the speed of aio-pika with an acknowledgement for each message."""


def _cost(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us a message"


COMPARISONS = tuple(
    comparison
    for measure, words in (("noop", "no-op messages"), ("archive", "archive"))
    for comparison in (
        Comparison(measure, "per_second", f"{words}, rate", "{:,.0f}/s".format, more_is_better=True),
        Comparison(measure, "worker_cpu", f"{words}, worker CPU", _cost),
        Comparison(measure, "server_cpu", f"{words}, servers' CPU", _cost),
        Comparison(measure, "p50", f"{words}, p50", "{:.1f} ms".format),
        Comparison(measure, "p99", f"{words}, p99", "{:.1f} ms".format),
        Comparison(measure, "rss_mib", f"{words}, memory", "{:.0f} MiB".format),
        Comparison("kill", "twice", f"{words}, handled twice after `kill -9`", "{:.0f}".format, mode=measure),
    )
)
"""By what frameworks are compared."""


def verdicts(found: Sequence[Figure]) -> list[Verdict]:
    """The targets that were set before the source was written."""
    noop = _speed(found, "noop")
    bare = {
        f"{figure.contender}, {figure.setting}": figure.values["per_second"].median
        for figure in pick(found, "noop", part="best")
        if figure.contender == AIO_PIKA.name
    }
    return [
        times("more no-op messages per second than every framework", noop, _frameworks(found, "noop"), 1.0),
        times(f"at least {MORE} times aio-pika alone with single acknowledgements", noop, bare, MORE),
        times(
            "as many archived messages per second as every framework",
            _speed(found, "archive"),
            _frameworks(found, "archive"),
            1.0,
        ),
        _nothing_lost(found),
    ]


def _speed(found: Sequence[Figure], measure: str) -> float | None:
    mine = ours(found, measure)
    return mine.median("per_second") if mine else None


def _frameworks(found: Sequence[Figure], measure: str) -> dict[str, float]:
    """Messages per second of the other frameworks."""
    return {
        f"{figure.contender}, {figure.setting}": figure.values["per_second"].median
        for figure in pick(found, measure)
        if figure.contender in FRAMEWORKS
    }


def _nothing_lost(found: Sequence[Figure]) -> Verdict:
    asked = "no message lost when its worker is killed"
    mine = [figure for figure in found if figure.measure == "kill" and figure.contender == US]
    lost = [value for figure in mine if (value := figure.median("lost")) is not None]
    if not lost:
        return Verdict(asked, "not measured", None)
    messages = sum(figure.median("messages") or 0 for figure in mine)
    return Verdict(asked, f"{sum(lost):,.0f} lost of {messages:,.0f}", sum(lost) == 0 and len(lost) == len(mine))
