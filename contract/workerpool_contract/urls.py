"""URLs of servers, as they may be shown: where the server is, never the credentials."""

import re
from urllib.parse import SplitResult, urlsplit

# Masks up to the last @ of the word: a raw slash in a password must not end it.
_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S*@")
_SETTING = re.compile(r"(\bpassword\s*=\s*)(?:'[^']*'|[^\s&]+)", re.IGNORECASE)
_SERVERS = {"postgres": "Postgres", "postgresql": "Postgres", "amqp": "RabbitMQ", "amqps": "RabbitMQ"}
_WEB = {"http", "https"}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


def describe(url: str) -> str:
    """Host, port and database (or vhost) of ``url``, without the credentials: what a person needs to find the server.

    Nothing is shown of a text that is no such URL: it may be the password itself.
    """
    scheme = _scheme(url)
    unknown = "the web server" if scheme in _WEB else f"the {_SERVERS.get(scheme, 'Postgres')} server"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return unknown
    if (scheme not in _SERVERS and scheme not in _WEB) or "@" in _after_host(parts):
        return unknown
    if scheme in _WEB:
        return f"{scheme}://{_host(parts)}{port}{parts.path}"
    return f"{_SERVERS[scheme]} at {_host(parts) or 'a local socket'}{port}{parts.path}"


def without_passwords(text: str) -> str:
    """``text`` with ``***`` for the password of every URL and of every ``password=…`` in it."""
    return _SETTING.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def _after_host(parts: SplitResult) -> str:
    """Where an @ gives away that a raw / ? or # of a password was taken for the end of the host."""
    # In a Postgres URL a query such as user=a@b is in order.
    query = "" if _SERVERS.get(parts.scheme) == "Postgres" else parts.query
    return f"{parts.path}{query}{parts.fragment}"
