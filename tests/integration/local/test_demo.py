"""The demo, as `make demo` runs it, on a part of the standard library; and its worker, called as a function."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from examples.ast.results import Percentiles
from examples.ast.workers import Measures, SourceFile, measure
from workerpool import TerminalError

ROOT = Path(__file__).parents[3]
WITHIN = 250.0


async def test_demo_ends_with_its_summary_and_draws_a_plot(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.ast.demo", "--files", "150"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with asyncio.timeout(WITHIN):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "150 jobs completed, 0 dead, peak 2 replicas, 0 now"
    assert "Measured 150 files" in output
    assert re.search(r"Jobs waited p50 \S+ s, p90 \S+ s, p99 \S+ s", output)
    assert "150 ready and 0 in flight, at 100 per replica: 2" in output
    picture = ET.fromstring((tmp_path / "build" / "ast-demo.svg").read_text())  # noqa: S314 - our own text
    assert "Replicas (right)" in "".join(picture.itertext())


def test_measures_of_a_file(tmp_path: Path) -> None:
    source = tmp_path / "m.py"
    source.write_text("import os\n\nclass A:\n    def f(self, x):\n        return 1 if x and os else 2\n")
    found = measure(SourceFile(path=str(source), module="m"))
    assert found == Measures(module="m", lines=5, functions=1, classes=1, imports=1, complexity=3)


@pytest.mark.parametrize("text", ["print 'old'\n", "x = '\0'\n"])
def test_what_is_no_python_is_a_dead_letter_at_once(tmp_path: Path, text: str) -> None:
    source = tmp_path / "old.py"
    source.write_text(text)
    with pytest.raises(TerminalError, match="old can't be parsed"):
        measure(SourceFile(path=str(source), module="old"))


def test_percentiles_are_nearest_rank() -> None:
    assert Percentiles.of([float(n) for n in range(100)]) == Percentiles(50.0, 90.0, 99.0)
    assert Percentiles.of([]) == Percentiles(0.0, 0.0, 0.0)
