"""What the runs of every benchmark share: contenders made ready, and disturbed measurements made again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from benchmarks.environments import Environments
from benchmarks.meter import wait_for_quiet
from benchmarks.model import NotInstallable, Record, Startable

Contender = TypeVar("Contender", bound=Startable)


def install(environments: Environments, contenders: Iterable[Startable], out: set[str]) -> Iterator[Record]:
    """Make every contender ready; a record for each that can't be, whose name is added to `out`."""
    for contender in contenders:
        try:
            environments.launcher(contender)
        except NotInstallable as reason:
            out.add(contender.name)
            print(f"{contender.name}: not installable because {reason}", flush=True)
            yield Record("install", contender.name, "", "", error=f"not installable because {reason}")


def chosen(contenders: Iterable[Contender], only: Collection[str] | None) -> tuple[Contender, ...]:
    """The contenders named by `--only`, all without it."""
    known = {contender.name: contender for contender in contenders}
    if unknown := sorted(set(only or ()) - known.keys()):
        raise SystemExit(f"--only {unknown[0]!r}: unknown, choose from {', '.join(sorted(known))}")
    return tuple(contender for name, contender in known.items() if not only or name in only)


def attempts(once: Callable[[], Record], brief: Callable[[Record], str], most: int, quiet: float) -> Iterator[Record]:
    """Repeat a disturbed measurement, `most` times in all; every attempt is recorded.

    `quiet`: seconds to wait, at most, for the machine to become quiet.
    """
    for _ in range(most):
        wait_for_quiet(quiet)
        record = once()
        print(brief(record), flush=True)
        yield record
        if record.clean or record.error:
            return
