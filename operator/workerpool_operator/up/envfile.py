"""`--env-file`: lines of NAME=VALUE. Pure."""

import re

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def parse(text: str, name: str) -> dict[str, str]:
    """The variables in ``text``; quotes around a value are taken off, lines that start with # are left out.

    Raises ValueError with ``name``, the line number and the cure; never with the line itself (it may hold a secret).
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            message = f"{name}:{number}: not a line of the form NAME=VALUE; correct it or put # in front"
            raise ValueError(message)
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
