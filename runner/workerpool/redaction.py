"""Takes secrets out of text before it reaches a log, an error, a status or a dead letter.

Three things are masked: the password inside a URL of any scheme, the value of a key that names a secret
(``password=…``, ``"api_key": "…"``, ``Authorization: Bearer …``), and the values that the composition root registered
(the password of the queue's URL), wherever they turn up. When in doubt the text loses a harmless word rather than keep
a secret: masking too much costs a reader a glance, masking too little can't be undone. Every pattern is linear in the
length of the text, which may be a megabyte of somebody's payload inside an error.
"""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

MASK: Final = "***"
"""What stands in place of a secret."""

MIN_REGISTERED: Final = 6
"""Shorter values are not registered: masking every ``abc`` of a log hides the log and protects nothing."""

# The first alternative ends at the last @ before a slash; the second takes a password that holds a raw slash.
_URL_PASSWORD = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]{0,30}://[^\s:/?#@\"'<>]*:)(?:[^\s/\"<>]{1,256}|[^\s\"<>]{1,256})(?=@)"
)

_SENSITIVE = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|authorization|credentials?|cookie|signature)"
)
_VALUE = r"(?:(?:bearer|basic|token)\s+[^\s\"',;]+|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s\"',;&)\]}]+)"
_KEY_VALUE = re.compile(rf"({_SENSITIVE}[\w.\-]{{0,40}}[\"']?\s*[=:]\s*)(?!\*\*\*){_VALUE}", re.IGNORECASE)

# A bare `key` is a secret in `key=…` and "key": "…"; `unique_key` and `routing_key` are what people on call look for.
_BARE_KEY = re.compile(rf"((?<![\w.\-])key(?:=|[\"']\s*:\s*))(?!\*\*\*){_VALUE}", re.IGNORECASE)

_SCHEME_TOKEN = re.compile(r"\b((?:bearer|basic)\s+)(?!\*\*\*)[A-Za-z0-9+/=_\-.~]{8,}", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)

# One cheap look decides for most lines that nothing below can match.
_SUSPECT = re.compile(r"[=:]|bearer|basic|-----BEGIN", re.IGNORECASE)

_registered: dict[str, re.Pattern[str]] = {}


def redact(text: str) -> str:
    """Returns ``text`` with every recognised secret replaced by ``***``; applying it twice changes nothing more."""
    for pattern in _registered.values():
        text = pattern.sub(MASK, text)
    if _SUSPECT.search(text) is None:
        return text
    text = _PEM.sub(MASK, text)
    text = _URL_PASSWORD.sub(rf"\g<1>{MASK}", text)
    text = _KEY_VALUE.sub(rf"\g<1>{MASK}", text)
    text = _BARE_KEY.sub(rf"\g<1>{MASK}", text)
    return _SCHEME_TOKEN.sub(rf"\g<1>{MASK}", text)


def register_secret(value: str) -> bool:
    """Masks ``value`` wherever it stands as a word from now on; False when it is too short to be masked safely."""
    if len(value) < MIN_REGISTERED:
        return False
    if value not in _registered:
        _registered[value] = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
    return True


def register_url(url: str) -> None:
    """Registers the password of ``url``, as written and decoded; a password equal to its user name is no secret."""
    for secret in secrets_of(url):
        register_secret(secret)


def secrets_of(url: str) -> tuple[str, ...]:
    """The password of ``url`` as written and, when that differs, percent-decoded; empty when there is none."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return ()
    if not password or password == parts.username:
        return ()
    return tuple(dict.fromkeys((password, unquote(password))))


def forget_secrets() -> None:
    """Empties the registry (a process that changes its credentials, and tests)."""
    _registered.clear()
