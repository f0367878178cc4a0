"""The pages of a broker: what is not there is unknown, and another page is no page."""

import pytest

from workerpool_operator.backlog.rabbitmq.counts import Row, Unreadable, management_rows, prometheus_rows

METRICS = """
# TYPE rabbitmq_detailed_queue_messages_ready gauge
# HELP rabbitmq_detailed_queue_messages_ready Messages ready to be delivered to consumers
rabbitmq_detailed_queue_messages_ready{vhost="a/b",queue="q\\"1"} 4
rabbitmq_detailed_queue_messages_ready{vhost="other",queue="q\\"1"} 9
rabbitmq_detailed_queue_messages_unacked{vhost="a/b",queue="q\\"1"} 3
rabbitmq_detailed_queue_messages_ready{vhost="a/b",queue="half"} NaN
rabbitmq_detailed_queue_consumers{vhost="a/b",queue="half"} 1
"""


def test_a_row_has_what_the_broker_said() -> None:
    item = {
        "name": "q",
        "messages_ready": 4,
        "messages_unacknowledged": 3,
        "consumers": 1,
        "message_stats": {"ack": 7},
    }
    assert management_rows([item]).rows == {"q": Row(4, 3, 1, 7)}


@pytest.mark.parametrize("value", [None, "12", -1, 1.5, True, [], {}])
def test_what_is_no_count_is_unknown(value: object) -> None:
    item = {"name": "q", "messages_ready": value, "message_stats": value}
    assert management_rows([item]).rows == {"q": Row()}


def test_a_broker_that_started_a_moment_ago_knows_names_only() -> None:
    assert management_rows([{"name": "q"}, {"name": "q.dead"}]).rows == {"q": Row(), "q.dead": Row()}


def test_queues_of_unique_keys_are_passed_over_and_may_be_too_many() -> None:
    keys = [{"name": f"workerpool.key.{number}"} for number in range(600)]
    found = management_rows([*keys, {"name": "q"}])
    assert (list(found.rows), found.keys) == (["q"], True)
    assert not management_rows([{"name": f"q{number}"} for number in range(600)]).keys


@pytest.mark.parametrize(("total", "kept", "stays"), [(9000, 700, True), (900, 400, True), (900, 700, False)])
def test_pages_are_read_while_that_is_less(total: int, kept: int, *, stays: bool) -> None:
    page = {"items": [{"name": "q"}], "page_count": 2, "total_count": total, "filtered_count": kept}
    found = management_rows(page)
    assert (found.pages, found.keys) == (2, stays)


@pytest.mark.parametrize(
    "document", [None, {}, "queues", 3, ["q"], [{}], [{"name": None}], {"items": [], "page_count": 1}, {"items": {}}]
)
def test_another_document_is_not_taken_for_an_empty_list(document: object) -> None:
    with pytest.raises(Unreadable):
        management_rows(document)


def test_metrics_are_those_of_the_vhost() -> None:
    assert prometheus_rows(METRICS, "a/b") == {'q"1': Row(4, 3), "half": Row(consumers=1)}


@pytest.mark.parametrize("text", ["<html><body>Welcome</body></html>", "", "up 1\n", '{"error": "not_authorized"}'])
def test_another_text_is_not_taken_for_a_broker_without_queues(text: str) -> None:
    with pytest.raises(Unreadable):
        prometheus_rows(text, "/")
