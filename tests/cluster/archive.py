"""Image archives, as ``docker save`` writes them, made without a container engine: one program and nothing else."""

import hashlib
import io
import json
import tarfile
from pathlib import Path


def program_archive(program: Path, reference: str, destination: Path) -> None:
    """Writes an image named ``reference`` that holds and runs one static program, as an unprivileged user."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    files = {
        "manifest.json": _json([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]),
        "config.json": _json(config),
        "layer.tar": layer,
    }
    destination.write_bytes(_tar(files))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
