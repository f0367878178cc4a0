"""Hot reload: a changed file replaces the process after a drain; broken code waits for the next change."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from workerpool.children import Command
from workerpool.errors import ConfigError
from workerpool.reload import Reloader, ReloadSettings

DEADLINE = 60.0

PROGRAM = """
import signal, sys
from pathlib import Path
diary = Path(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
def say(text):
    with diary.open("a") as file:
        file.write(text + " ")
say(f"start-%s")
signal.sigwait({signal.SIGTERM})
say("drained")
"""


class App:
    """A program in a folder of its own and the diary that its lives write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "app"
        self.folder.mkdir()
        self.program = self.folder / "main.py"
        self.diary = folder / "diary.txt"
        self.diary.touch()
        self.write(PROGRAM % "1")
        command = Command([sys.executable, str(self.program), str(self.diary)], dict(os.environ))
        self.reloader = Reloader(ReloadSettings(command, self.folder, DEADLINE))

    def write(self, text: str, name: str = "main.py") -> None:
        """In one change: a file that is emptied before it is written may be seen as two."""
        new = self.folder / "new"
        new.write_text(text)
        new.replace(self.folder / name)

    async def until_diary(self, says: str) -> None:
        async def look() -> bool:
            return self.diary.read_text().split() == says.split()

        await eventually(look, f"{says!r} in the diary", within=DEADLINE)


async def test_a_change_drains_the_old_code_and_runs_the_new(tmp_path: Path) -> None:
    app = App(tmp_path)
    running = asyncio.create_task(app.reloader.run())
    await app.until_diary("start-1")
    app.write(PROGRAM % "2")
    await app.until_diary("start-1 drained start-2")
    app.reloader.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 0
    await app.until_diary("start-1 drained start-2 drained")


async def test_other_files_change_nothing(tmp_path: Path) -> None:
    app = App(tmp_path)
    running = asyncio.create_task(app.reloader.run())
    await app.until_diary("start-1")
    (app.folder / "notes.txt").write_text("x")
    app.write("x = 1", "more.py")
    await app.until_diary("start-1 drained start-1")
    app.reloader.stop()
    await asyncio.wait_for(running, DEADLINE)
    await app.until_diary("start-1 drained start-1 drained")


async def test_broken_code_waits_for_the_next_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = App(tmp_path)
    app.write("this is not Python")
    running = asyncio.create_task(app.reloader.run())
    ended = "the runner ended by itself (exit code 1)"

    async def look() -> bool:
        return ended in caplog.text

    await eventually(look, ended, within=DEADLINE)
    app.write(PROGRAM % "2")
    await app.until_diary("start-2")
    app.reloader.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 0


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    app = App(tmp_path)
    missing = tmp_path / "nowhere"
    settings = ReloadSettings(Command([sys.executable, str(app.program), str(app.diary)], {}), missing, DEADLINE)
    with pytest.raises(ConfigError, match=r"--reload: no such folder .*nowhere"):
        await asyncio.wait_for(Reloader(settings).run(), DEADLINE)
