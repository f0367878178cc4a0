"""The programs of the RabbitMQ server that tests start: the system's, or with WORKERPOOL_TEST_RABBITMQ=4 a newer one.

The newer one is what a later Debian has. Its packages are fetched and verified by apt and unpacked, not installed, into
a folder of the cache, which takes 20 seconds; its programs run with that folder as their root, and with the machine's
/proc, /dev and temporary files in it. ``python -m tests.support.broker_programs`` unpacks it and says where it is.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.binaries import say
from tests.cluster.images.base import mirror
from tests.cluster.images.places import cache, key_of

ENV_RELEASE: Final = "WORKERPOOL_TEST_RABBITMQ"
"""The major version to run on: unset for the one that the system has, or NEWER."""
NEWER: Final = "4"
SUITE: Final = "trixie"
"""The Debian that has it."""
PACKAGES: Final = ("rabbitmq-server", "base-files", "coreutils", "dash", "grep", "libc-bin", "sed")
"""The server, and what its scripts call; apt adds what these depend on."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FOLDER: Final = Path("/usr/lib/rabbitmq/bin")
"""Of the programs, on the system and below the root of the newer one."""
SECONDS: Final = 600
ENTER: Final = """
root=$1 shared=$2 program=$3; shift 3
mkdir -p "$root$shared"
for place in /proc /dev "$shared"; do mount --rbind "$place" "$root$place"; done
exec chroot "$root" "$program" "$@"
"""
"""Becomes a program of another root: no process in between, and the mounts end with it."""


def release(environment: Mapping[str, str] = os.environ) -> str:
    """The major version that is asked for, empty for whatever the system has; ValueError for one that is not known."""
    asked = environment.get(ENV_RELEASE, "")
    if asked not in {"", NEWER}:
        raise ValueError(f"{ENV_RELEASE} is {asked!r}; unset it for the system's server, or set it to {NEWER}")
    return asked


def command(program: str, *arguments: str) -> list[str]:
    """The argument vector of a program of the server, as ``rabbitmqctl``.

    Unpacks the newer server when that is asked for and the cache has none. RuntimeError when that fails.
    """
    if release() == "":
        return [str(FOLDER / program), *arguments]
    return _inside(_newer(), program, *arguments)


def _inside(root: Path, program: str, *arguments: str) -> list[str]:
    owner = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    enter = ["unshare", *owner, "--mount", "sh", "-euc", ENTER, "sh", str(root), tempfile.gettempdir()]
    return [*enter, str(FOLDER / program), *arguments]


def _newer() -> Path:
    """The root of the newer server; unpacked once, whoever asks at the same time."""
    home = cache("rabbitmq")
    root = home / f"{SUITE}-{key_of((), SUITE, platform.machine(), *PACKAGES)}"
    if not root.exists():
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.exists():
                _unpack(root)
    return root


def _unpack(root: Path) -> None:
    say(f"RabbitMQ {NEWER}: fetching the packages of Debian {SUITE}, 60 MB")
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    # Not in the cache: apt fetches as a user of its own, who may not look into anybody's home.
    with tempfile.TemporaryDirectory(prefix="workerpool-apt-") as name:
        fetched = Path(name)
        fetched.chmod(0o755)
        # Whose links the others are unpacked through: /bin, /lib and the like.
        packages = sorted(_fetch(fetched), key=lambda file: not file.name.startswith("base-files_"))
        for package in packages:
            _run("dpkg-deb", "--extract", package, unfinished)
    (unfinished / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    version = _run(*_inside(unfinished, "rabbitmqctl", "version")).split()[-1]
    if not version.startswith(f"{NEWER}."):
        raise RuntimeError(f"Debian {SUITE} has RabbitMQ {version}, not {NEWER}.x")
    unfinished.rename(root)
    say(f"RabbitMQ {version} is in {root}")


def _fetch(folder: Path) -> list[Path]:
    """The packages and all they depend on, in ``folder``, as apt fetches and verifies them for an empty machine."""
    source, status = folder / "sources.list", folder / "status"
    source.write_text(f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
    status.touch()
    options = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": os.devnull,
        "Dir::Etc::PreferencesParts": os.devnull,
        "Dir::State": folder / "state",
        "Dir::State::status": status,
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Update::Error-Mode": "any",
        "APT::Install-Recommends": "false",
    }
    apt = ["apt-get", "--quiet", "--yes", *(f"--option={key}={value}" for key, value in options.items())]
    (folder / "state").mkdir()
    (folder / "cache").mkdir()
    _run(*apt, "update")
    _run(*apt, "--download-only", "install", *PACKAGES)
    return list((folder / "cache" / "archives").glob("*.deb"))


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"RabbitMQ {NEWER} for the tests: {command[0]} failed with {done.returncode}: "
            f"{done.stdout[-2000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


if __name__ == "__main__":
    _newer()
