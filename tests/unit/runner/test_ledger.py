"""Which jobs a process holds, when the same job comes a second time."""

from workerpool.ledger import Ledger
from workerpool.metrics import Metrics
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Job, Settlement


def job(number: int, claim: int) -> Job:
    return Job("q", number, 0, 0, 0, "{}", None, 0.0, expired=False, handle=claim)


def ledger() -> Ledger:
    metrics = Metrics()
    metrics.add_worker("w", "q")
    return Ledger(metrics)


def test_claiming_an_own_lost_job_again_tells_what_runs_under_the_older_claim() -> None:
    book = ledger()
    assert book.claimed([job(1, 1), job(2, 1)], 0.01) == []
    assert book.claimed([job(2, 2), job(3, 2)], 0.01) == [job(2, 1)]
    assert list(book.held()) == [job(1, 1), job(2, 2), job(3, 2)]


def test_the_outcome_of_the_older_claim_leaves_the_newer_one_held() -> None:
    book, older, newer = ledger(), job(1, 1), job(1, 2)
    book.claimed([older], 0.01)
    book.claimed([newer], 0.01)
    book.settled([Settlement(older, SUCCEEDED, 0.1, "w")], [older])
    assert book.mine([older, newer]) == [newer]
    book.settled([Settlement(newer, SUCCEEDED, 0.1, "w")], [])
    assert list(book.held()) == []
