"""Programs of the cluster, built from Go modules of this folder into a cache outside the checkout.

Each folder of ``modules`` is a Go module whose ``tool`` lines name the programs. A first build of Kubernetes takes
about ten minutes and needs the Go module proxy; later ones are found in the cache, under a name made from everything
that decides what comes out.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs

from tests.cluster.api import Unavailable

MODULES: Final = Path(__file__).parent / "modules"
VERSION: Final = "k8s.io/component-base/version"
LINKER_FLAGS: Final = {
    "kubernetes": f"-s -w -X {VERSION}.gitVersion=v1.34.3 -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34",
}
"""What the linker is told, by module; the programs of Kubernetes compare their versions."""
STRIPPED: Final = "-s -w"


def binary_dir(module: str) -> Path:
    """The folder with the programs of ``modules/<module>``; builds them first where the cache has none.

    Raises Unavailable when Go is missing or the build fails.
    """
    source = MODULES / module
    flags = LINKER_FLAGS.get(module, STRIPPED)
    home = platformdirs.user_cache_path("workerpool") / "cluster"
    built = home / f"{module}-{_fingerprint(source, flags)}"
    if not built.exists():
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home / "lock"):
            if not built.exists():
                _build(source, flags, built)
    return built


def _fingerprint(source: Path, flags: str) -> str:
    digest = hashlib.sha256(flags.encode())
    for path in sorted(source.rglob("*")):
        if path.is_file():
            digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One build at a time: two would take turns at the same packages."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(source: Path, flags: str, built: Path) -> None:
    if shutil.which("go") is None:
        raise Unavailable(
            f"the test cluster's {source.name} programs are built with Go, and there is no `go` on the PATH; cure: "
            "install Go 1.21 or newer (Debian 12's golang is older); it fetches the release that go.mod names by itself"
        )
    unfinished = built.with_name(f"{built.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    tools = [tool["Path"] for tool in json.loads(_go(source, "mod", "edit", "-json"))["Tool"]]
    begin = time.monotonic()
    for number, tool in enumerate(tools, start=1):
        say(f"building {tool.rsplit('/', 1)[-1]} ({number} of {len(tools)} of {source.name}); the first time is long")
        _go(source, "build", "-trimpath", "-ldflags", flags, "-o", f"{unfinished}/", tool)
    unfinished.rename(built)
    say(f"{source.name}: {len(tools)} programs built in {time.monotonic() - begin:.0f} s")


def _go(source: Path, *arguments: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(
        ["go", *arguments],
        cwd=source,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"`go {' '.join(arguments)}` in {source} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def say(text: str) -> None:
    """A line of progress, on standard error: standard output belongs to the command."""
    sys.stderr.write(f"» {text}\n")
    sys.stderr.flush()
