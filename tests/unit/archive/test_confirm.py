"""When an upload counts as confirmed."""

import pytest

from workerpool.archive.faults import Fault, Kind
from workerpool.archive.store import _confirm

SUM = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{SUM}"'},
        {"ETag": SUM.upper()},
        {"ETag": '"sum-of-another-kind-1"'},
        {"ETag": '"fedcba9876543210fedcba9876543210"', "x-amz-server-side-encryption": "aws:kms"},
    ],
)
def test_the_servers_sum_is_that_of_the_message_or_of_another_kind(headers: dict[str, str]) -> None:
    _confirm(headers, SUM, "storing x")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"ETag": '"fedcba9876543210fedcba9876543210"'}, "the server holds other bytes"),
        ({}, "the server confirmed nothing"),
    ],
)
def test_what_is_not_confirmed_is_sent_again(headers: dict[str, str], words: str) -> None:
    with pytest.raises(Fault, match=words) as raised:
        _confirm(headers, SUM, "storing x")
    assert raised.value.kind is Kind.AWAY
