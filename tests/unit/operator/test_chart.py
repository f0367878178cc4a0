"""Plots: what is drawn stays inside its frame and says what it shows."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workerpool_contract.backlog import Backlog
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.chart import HEIGHT, WIDTH, Series, nice_top, sparkline, svg, text_plot
from workerpool_operator.observe import Rates
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView
from workerpool_operator.up.loop import PoolView
from workerpool_operator.up.timeline import MOST_POINTS, Point, Timeline, sampled


def test_sparkline_shows_the_newest_values_against_their_highest() -> None:
    assert sparkline([100, 0, 1, 4, 8], 4) == " ▁▄█"
    assert sparkline([], 4) == ""


def test_text_plot_has_scale_and_time() -> None:
    plot = text_plot(Series("Replicas", [0, 1, 2]), 30.0, height=2)
    assert plot.splitlines() == ["Replicas", "       2 │  █", "         │ ██", "       0 └───", "          0 s 30 s"]


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 10**6), st.integers(0, 100)), max_size=50))
def test_svg_is_well_formed_and_inside_its_frame(rows: list[tuple[float, int, int]]) -> None:
    rows.sort()
    times, left, right = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    picture = svg("a < b & c", times, Series("Backlog", left), Series("Replicas", right))
    root = ET.fromstring(picture)  # noqa: S314 - our own text
    assert "a < b & c" in "".join(root.itertext())
    for element in root.iter():
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", element.get("points", "")):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (3, 4), (4.5, 5), (1790, 2000), (7, 10), (10, 10)])
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert nice_top(value) == top


@given(st.lists(st.integers(0, 100), min_size=1, max_size=200), st.integers(1, 50))
def test_sampling_keeps_the_peaks(values: list[int], count: int) -> None:
    points = [Point(float(index), value, value) for index, value in enumerate(values)]
    found = sampled(points, count)
    assert len(found) <= count
    assert max(point.backlog for point in found) == max(values)
    assert found[-1].at == points[-1].at


def test_a_timeline_stays_small_and_keeps_its_peak() -> None:
    timeline, quiet, busy = Timeline(), view(1), view(7)
    for index in range(3 * MOST_POINTS):
        timeline.add(index / 2, busy if index == 5 else quiet)
    assert len(timeline.points) <= MOST_POINTS
    assert timeline.peak == 7
    assert timeline.points[-1].at == (3 * MOST_POINTS - 1) / 2


def view(replicas: int) -> PoolView:
    """A pool with so many replicas and an empty queue."""
    state = PoolState(tuple(ReplicaView(f"p-{n}", ReplicaState.READY) for n in range(replicas)))
    return PoolView("p", "q", state, Backlog(0), WorkerPoolStatus(), Rates())
