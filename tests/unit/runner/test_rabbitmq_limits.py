"""The delivery limit of a queue, as the management API describes it."""

from typing import Any

import pytest

from workerpool.sources.rabbitmq.admin_limits import limit_of

OLD, NEW = (3, 10, 8), (4, 0, 5)


@pytest.mark.parametrize(
    ("kind", "argument", "policy", "version", "limit"),
    [
        ("classic", None, 5, NEW, None),
        ("quorum", None, None, OLD, None),
        ("quorum", None, None, NEW, 20),
        ("quorum", 5, None, OLD, 5),
        ("quorum", 5, 3, NEW, 3),
        ("quorum", None, 7, OLD, 7),
        ("quorum", 0, None, OLD, 0),
        ("quorum", -1, None, NEW, None),
        ("quorum", -1, 9, NEW, 9),
    ],
)
def test_the_lower_of_argument_and_policy_counts(
    kind: str, argument: int | None, policy: int | None, version: tuple[int, int, int], limit: int | None
) -> None:
    said: dict[str, Any] = {
        "type": kind,
        "arguments": {} if argument is None else {"x-delivery-limit": argument},
        "effective_policy_definition": None if policy is None else {"delivery-limit": policy},
    }
    assert limit_of(said, version) == limit
