"""A base image made from the machine's own package mirror, for machines that reach no image registry."""

import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images.docker import Docker
from tests.cluster.images.places import cache, key_of, say

PACKAGES = ("ca-certificates", "python3", "python3-venv")
LEFT_OUT = ("./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/man/*", "./usr/share/locale/*")
SECONDS = 900


@dataclass(frozen=True)
class Recipe:
    """A minimal Debian with Python: ``release`` is a code name, ``mirror`` an address."""

    release: str
    mirror: str

    @property
    def image(self) -> str:
        """The image's name."""
        return f"local/python-base:{self.release}"

    @property
    def key(self) -> str:
        """Changes with the recipe; the mirror only says where the same packages come from."""
        return key_of((), self.release, platform.machine(), *PACKAGES, *LEFT_OUT)


def recipe() -> Recipe:
    """The recipe for the release that this machine runs, from the first of its package sources that has it."""
    return Recipe(_release(), mirror())


def mirror() -> str:
    """The address of the first package source of this machine that has the release that it runs; LookupError."""
    release = _release()
    # Without the release's own information, which is there only after an update.
    ask = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]
    listing = subprocess.run([*ask, "Created-By: Packages"], capture_output=True, text=True, check=True).stdout
    for address, name, component in map(str.split, filter(None, listing.splitlines())):
        if (name, component) == (release, "main"):
            return address
    raise LookupError(
        f"no package source of this machine has {release!r} main; name one in apt's sources (for images alone, a base "
        "image in WORKERPOOL_TEST_BASE_IMAGE does too)"
    )


def _release() -> str:
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def ensure_base(docker: Docker, wanted: Recipe) -> str:
    """The image of ``wanted``, built and imported when missing; returns its name. Needs root and debootstrap."""
    if not docker.has(wanted.image, wanted.key):
        archive = _archive(wanted)
        label = f"LABEL workerpool.recipe={wanted.key}"
        docker.run("import", "--change", label, archive, wanted.image, seconds=SECONDS)
    return wanted.image


def _archive(wanted: Recipe) -> Path:
    """The root file system as a tar, kept in the cache."""
    archive = cache("base") / f"{wanted.release}-{wanted.key}.tar"
    if archive.exists():
        return archive
    say(f"making a base image of Debian {wanted.release}, about 2 minutes")
    folder = Path(tempfile.mkdtemp(prefix="root-", dir=archive.parent))
    try:
        _debootstrap(wanted, folder)
        partial = folder.with_suffix(".tar")
        left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT]
        _run("tar", "--numeric-owner", *left_out, "-C", folder, "-cf", partial, ".")
        partial.rename(archive)
    finally:
        shutil.rmtree(folder)
    return archive


def _debootstrap(wanted: Recipe, folder: Path) -> None:
    # It mounts /proc in the new root and does not always take it away: in a mount namespace it goes with the program.
    packages = f"--include={','.join(PACKAGES)}"
    _run("unshare", "--mount", "debootstrap", "--variant=minbase", packages, wanted.release, folder, wanted.mirror)
    folder.chmod(0o755)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
