"""`--env-file`: lines of NAME=VALUE. Pure."""

import re


class EnvFileError(Exception):
    """A line that is no NAME=VALUE; the message names file, line number and cure."""


_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def parse_env_file(text: str, name: str) -> dict[str, str]:
    """The variables in ``text``; quotes around a value are taken off, lines that start with # are left out.

    Raises EnvFileError with ``name``, the line number and the cure; never with the line itself (it may hold a secret).
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            message = f"{name}:{number}: not a line of the form NAME=VALUE; correct it or put # in front"
            raise EnvFileError(message)
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
