"""Amounts as Kubernetes writes them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workerpool_operator.desired.quantity import amount

ALIKE = [
    ("100m", "0.1"),
    ("1", 1),
    ("0.5", 0.5),
    ("1Gi", "1024Mi"),
    ("1Gi", 2**30),
    ("1G", "1e9"),
    ("1k", "1000"),
    ("2E", "2000P"),
    ("1000000n", "1m"),
    (".5", "500m"),
    ("5.", "5"),
    ("-1", -1),
    ("1.0", "1"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike(one: object, other: object) -> None:
    assert amount(one) == amount(other) is not None


@pytest.mark.parametrize(("one", "other"), [("1G", "1Gi"), ("100m", "100M"), ("1", "1m"), ("1e3", "1E")])
def test_different(one: object, other: object) -> None:
    assert amount(one) != amount(other)


@pytest.mark.parametrize(
    "value", ["", "x", "1 Gi", "Gi", "1KiB", "1e", "1.2.3", "--1", True, None, [], "1" * 50, "nan"]
)
def test_no_amount(value: object) -> None:
    assert amount(value) is None


@given(st.integers(0, 10**12))
def test_a_thousandth_is_a_thousandth(number: int) -> None:
    assert amount(f"{number}m") == Decimal(number) / 1000
