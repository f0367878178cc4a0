"""URLs of databases, as they may be shown: where the server is, never the credentials."""

import re
from urllib.parse import urlsplit

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^/\s]*@")


def describe(url: str) -> str:
    """Host, port and database of ``url``, without the credentials: what a person needs to find the server."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the Postgres server"
    return f"Postgres at {parts.hostname or 'a local socket'}{port}{parts.path}"


def without_passwords(text: str) -> str:
    """``text`` with ``***`` for the password of every URL in it."""
    return _PASSWORD.sub(r"\1***@", text)
