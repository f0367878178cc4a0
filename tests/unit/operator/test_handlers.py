"""How kopf is told to watch."""

from collections.abc import Sequence

from workerpool_operator.handlers import settings_for_kopf


def test_after_an_outage_the_watches_are_back_within_seconds_however_long_it_was() -> None:
    backoffs = settings_for_kopf().networking.error_backoffs
    assert isinstance(backoffs, Sequence)
    assert max(backoffs) <= 5
    assert sum(backoffs) >= 60
