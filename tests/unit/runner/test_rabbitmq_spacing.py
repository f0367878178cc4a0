"""Jobs that can't be placed are looked at ever less often, and others are not held up by it."""

from workerpool.sources.rabbitmq.spacing import LONGEST, Spacing

SHORTEST = 5.0


def looked(spacing: Spacing, there: int, now: float, *, placed: int = 0, revived: int = 0) -> None:
    spacing.looked(there, placed=placed, revived=revived, now=now, shortest=SHORTEST)


def test_the_pause_doubles_up_to_five_minutes() -> None:
    spacing = Spacing()
    pauses = []
    for _ in range(8):
        looked(spacing, 3, 100)
        pauses.append(spacing.pause)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]
    assert spacing.is_early(3, 100 + LONGEST - 1)
    assert not spacing.is_early(3, 100 + LONGEST)


def test_others_and_those_that_came_back_are_looked_at_at_once() -> None:
    spacing = Spacing()
    looked(spacing, 3, 0)
    assert (spacing.is_early(3, 1), spacing.is_early(4, 1)) == (True, False)
    looked(spacing, 3, 5, revived=1)
    assert not spacing.is_early(3, 6)
    assert spacing.pause == 2 * SHORTEST


def test_a_success_and_an_empty_queue_end_it() -> None:
    spacing = Spacing()
    for there, placed in ((3, 1), (0, 0)):
        looked(spacing, 3, 0)
        looked(spacing, there, 0, placed=placed)
        assert not spacing.is_early(there, 0)
        assert spacing.pause == 0
    looked(spacing, 3, 0)
    spacing.again()
    assert not spacing.is_early(3, 0)
