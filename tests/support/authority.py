"""A private certificate authority and one server certificate, for tests of TLS."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Files in PEM: the authority's certificate, the server's certificate and its key."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What a client has to trust."""
        return self.folder / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        """The server's certificate, signed by the authority."""
        return self.folder / "tls.crt"

    @property
    def server_key(self) -> Path:
        """The key of the server's certificate."""
        return self.folder / "tls.key"


def make_authority(folder: Path, *addresses: str, names: tuple[str, ...] = ("localhost",)) -> Authority:
    """Makes the three files in ``folder``; the certificate holds for these IP addresses and DNS names for a day."""
    made = Authority(folder)
    folder.mkdir(parents=True, exist_ok=True)
    subject = ",".join([*(f"IP:{address}" for address in addresses), *(f"DNS:{name}" for name in names)])
    key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "1"]
    usage: list[str | Path] = ["-addext", "keyUsage=critical,keyCertSign"]
    _openssl("req", "-x509", *key, *usage, "-subj", "/CN=tests", "-keyout", folder / "ca.key", "-out", made.certificate)
    signed: list[str | Path] = ["-CA", made.certificate, "-CAkey", folder / "ca.key", "-subj", "/CN=server"]
    extensions: list[str | Path] = [
        "-addext",
        f"subjectAltName={subject}",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    out: list[str | Path] = ["-keyout", made.server_key, "-out", made.server_certificate]
    _openssl("req", "-x509", *key, *signed, *extensions, *out)
    return made


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode()}")
