"""Runs in a pod: prints every Python file of the image that its own Python reads, and the name of its module."""

import sysconfig
from pathlib import Path

PLACES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))

for place in PLACES:
    for path in sorted(place.rglob("*.py")):
        print(path, ".".join(path.relative_to(place).with_suffix("").parts), sep="\t")
