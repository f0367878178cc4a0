"""Kubernetes' amounts of CPU and memory as numbers, so that ``100m`` equals ``0.1``."""

import re
from decimal import Decimal
from typing import Any, Final

FORM: Final = re.compile(
    r"([+-]?[0-9]{1,18}(?:\.[0-9]{0,18})?|[+-]?\.[0-9]{1,18})(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i|[numkMGTPE])?)"
)

UNITS: Final[dict[str | None, Decimal]] = {
    None: Decimal(1),
    **{unit: Decimal(10) ** (3 * power) for power, unit in enumerate(("n", "u", "m"), start=-3)},
    **{unit: Decimal(10) ** (3 * power) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def amount(value: Any) -> Decimal | None:  # noqa: ANN401 - text or a number, as users write it
    """The amount; None when ``value`` isn't one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = FORM.fullmatch(str(value))
    if match is None:
        return None
    number, exponent, unit = match.groups()
    return Decimal(number + (exponent or "")) * UNITS[unit]
