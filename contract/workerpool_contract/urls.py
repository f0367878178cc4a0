"""URLs of databases, as they may be shown: where the server is, never the credentials."""

import re
from urllib.parse import urlsplit

# Masks up to the last @ of the word: a raw slash in a password must not end it.
_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S*@")
_SETTING = re.compile(r"(\bpassword\s*=\s*)(?:'[^']*'|[^\s&]+)", re.IGNORECASE)
_SCHEMES = {"postgres", "postgresql"}


def describe(url: str) -> str:
    """Host, port and database of ``url``, without the credentials: what a person needs to find the server.

    Nothing is shown of a text that is no such URL: it may be the password itself.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the Postgres server"
    if parts.scheme not in _SCHEMES or "@" in parts.path:
        return "the Postgres server"
    return f"Postgres at {parts.hostname or 'a local socket'}{port}{parts.path}"


def without_passwords(text: str) -> str:
    """``text`` with ``***`` for the password of every URL and of every ``password=…`` in it."""
    return _SETTING.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))
