"""Certificates of private authorities on this machine: read from the user's file, written to files for runners."""

from pathlib import Path

from workerpool_contract import names
from workerpool_contract.environment import SettingsError

MARK = "-----BEGIN CERTIFICATE-----"


def read_authority(path: str | None) -> str | None:
    """What is in the file that WORKERPOOL_RABBITMQ_CA_FILE names. Raises SettingsError when it can't be used."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if MARK not in text:
        message = f"{names.ENV_RABBITMQ_CA_FILE}: {path!r} is no file with a certificate in PEM form; correct the path"
        raise SettingsError(message)
    return text


def write_authority(folder: Path, pool: str, text: str | None) -> str | None:
    """Keeps the certificate of a pool's broker in ``folder`` for its runners; the path. Raises OSError."""
    if text is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pool}.crt"
    path.write_text(text, encoding="utf-8")
    return str(path)
