"""What the demo asks the database afterwards: results are rows, and so is every job's past."""

from dataclasses import dataclass

import asyncpg

TOTALS = """
select count(*) as files, sum((result->>'lines')::int) as lines, sum((result->>'functions')::int) as functions,
       sum((result->>'classes')::int) as classes, sum((result->>'imports')::int) as imports
from workerpool.history where state = 'completed'
"""
MOST_COMPLEX = """
select result->>'module' as module, (result->>'complexity')::int as complexity, (result->>'lines')::int as lines
from workerpool.history where state = 'completed' order by 2 desc, 1 limit 5
"""
TIMES = """
select extract(epoch from started_at - available_at)::float8 as waited,
       extract(epoch from finished_at - started_at)::float8 as ran
from workerpool.history where state = 'completed'
"""
DEAD = "select count(*) from workerpool.dead"
ERRORS = "select error from workerpool.dead order by id limit 3"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Times in seconds: half, most and nearly all of the jobs took at most this."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: list[float]) -> "Percentiles":
        """The percentiles of ``values`` (nearest rank)."""
        ordered = sorted(values) or [0.0]
        return cls(*(ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99)))


@dataclass(frozen=True, slots=True)
class Results:
    """Answers of the queries: totals of the completed jobs, the number of dead letters, and the errors of some."""

    totals: dict[str, int]
    most_complex: list[tuple[str, int, int]]
    waited: Percentiles
    ran: Percentiles
    dead: int
    errors: list[str]


async def results(url: str) -> Results:
    """Asks the database at ``url``."""
    connection = await asyncpg.connect(url)
    try:
        totals = await connection.fetchrow(TOTALS)
        complex_rows = await connection.fetch(MOST_COMPLEX)
        times = await connection.fetch(TIMES)
        dead = await connection.fetchval(DEAD)
        errors = await connection.fetch(ERRORS)
    finally:
        await connection.close()
    return Results(
        totals={name: int(count or 0) for name, count in (totals or {}).items()},
        most_complex=[(row["module"], row["complexity"], row["lines"]) for row in complex_rows],
        waited=Percentiles.of([row["waited"] for row in times]),
        ran=Percentiles.of([row["ran"] for row in times]),
        dead=dead,
        errors=[row["error"] for row in errors],
    )
