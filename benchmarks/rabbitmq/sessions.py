"""What the messages say: a number, and for the archive a recorded session of about 2 KB around it."""

from __future__ import annotations

from typing import Any

QUEUE = "bench"
FIRST = 1_000_000_000
"""Number of the first message. All numbers have ten digits, so that one message is as long as any other."""
USER = "user_17"
_UUID = "550e8400-e29b-41d4-a716-44"
_EVENTS = [
    {"type": "mousemove", "timestamp": 1_704_110_400_000 + 16 * step, "x": 12 + step, "y": 700 - step, "target": "#a"}
    for step in range(20)
]


def first_message(job: str) -> dict[str, Any]:
    """The payload of message number FIRST for the jobs `noop` or `archive`."""
    if job == "noop":
        return {"number": FIRST}
    return {
        "number": FIRST,
        "user_id": USER,
        "session_uuid": f"{_UUID}{FIRST}",
        "timestamp": "2024-01-01T12:00:00Z",
        "events": _EVENTS,
        "metadata": {"url": "https://shop.example/checkout", "width": 1440, "height": 900, "language": "pt-BR"},
    }


def key(message: dict[str, Any]) -> str:
    """Where a session is stored in the bucket."""
    return f"sessions/{message['user_id']}/{message['session_uuid']}.json"
