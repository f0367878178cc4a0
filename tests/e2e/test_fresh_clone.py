"""A newcomer's first commands, in a fresh copy, on a machine without uv."""

import os
import re
from pathlib import Path

import pytest

from tests.e2e.fresh_clone import copy_clone
from tests.support.commands import run_command

pytestmark = pytest.mark.e2e

LAST_LINE = re.compile(r"(?P<completed>\d+) jobs completed, (?P<dead>\d+) dead, peak (?P<peak>\d+) replicas, 0 now")

INHERITED = (
    "HOME",
    "LANG",
    "PIP_",
    "SSL_",
    "REQUESTS_",
    "UV_",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
)
"""Beginnings of the variables that a newcomer's shell has too: how to reach the package index."""


def _run(*command: str, folder: Path) -> str:
    """Output of a command that must succeed, with the system's programs only: no uv, no active environment."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    result = run_command(command, folder, environment | {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh copy of the repository."""
    copy_clone(tmp_path)
    return tmp_path


def test_make_demo_does_the_main_job_from_nothing(clone: Path) -> None:
    """What the README promises of "make demo", up to the last line that it prints."""
    printed = _run("make", "demo", folder=clone)
    last = printed.splitlines()[-1]
    found = LAST_LINE.fullmatch(last)
    assert found, last
    assert int(found["completed"]) > 500
    assert int(found["peak"]) > 1
    imported_from = _run(".venv/bin/python", "-c", "import workerpool; print(workerpool.__file__)", folder=clone)
    assert imported_from.startswith(str(clone))


def test_help_is_the_default_verb(clone: Path) -> None:
    assert "make test" in _run("make", folder=clone)
