"""The section on wake-ups: from figures to percentiles, verdicts and a table."""

import json
from pathlib import Path

import pytest

from benchmarks.wakeup.report import percentile, section

ABOUT = {"date": "now", "processor": "abacus", "cores": 2, "memory_gib": 8, "system": "Linux", "commit": "abc"}


def _section(tmp_path: Path, *patched: float) -> str:
    path = tmp_path / "2030-01-01T000000.json"
    starts = [{"patched": 70.0, "ready": 1500.0, "done": 2500.0}]
    found = {"about": ABOUT, "wakeups": [{"patched": one} for one in patched], "starts": starts, "load": [1, 2.25, 3]}
    path.write_text(json.dumps(found))
    return section(path)


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.9, 91), (0.99, 100), (1.0, 100)])
def test_percentiles_are_of_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(one) for one in range(100, 0, -1)], share) == value


def test_what_was_asked_is_judged_by_the_wakeups(tmp_path: Path) -> None:
    text = _section(tmp_path, *[50.0] * 98, 1001.0, 1001.0)
    assert "| Deployment patched, to all its replicas at once | 100 | 50 | 50 | 1,001 | 1,001 |" in text
    assert "| p50 at most 200 ms | 50 ms | yes |" in text
    assert "| p99 at most 1,000 ms | 1,001 ms | no |" in text


def test_starts_are_told_apart(tmp_path: Path) -> None:
    text = _section(tmp_path, 50.0)
    assert "| first pod Ready | 1 | 1,500 | 1,500 | 1,500 | 1,500 |" in text
    assert "| first job done | 1 | 2,500 | 2,500 | 2,500 | 2,500 |" in text
    assert "abacus, 2 cores, 8 GiB, Linux, at a load average of 2.2." in text
