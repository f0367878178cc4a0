"""Where the pages are, and that credentials go only where they belong."""

import pytest

from workerpool_contract.amqp import amqp_parts
from workerpool_operator.backlog.rabbitmq import places
from workerpool_operator.backlog.watch import Endpoint

URL = "amqp://us%40er:p%2Fss@broker:5672/a%2Fb"
PARTS = amqp_parts(URL)


def test_the_management_api_is_beside_the_broker_with_the_same_credentials() -> None:
    found = places.management(Endpoint(URL), PARTS)
    assert (found.base, found.username, found.password) == ("http://broker:15672", "us@er", "p/ss")


def test_with_tls_the_password_goes_over_tls_only() -> None:
    url = URL.replace("amqp:", "amqps:")
    assert places.management(Endpoint(url), amqp_parts(url)).base == "https://broker:15671"
    assert places.prometheus(Endpoint(url), amqp_parts(url)).password is None


@pytest.mark.parametrize(
    ("url", "base", "user"),
    [
        ("http://m:1", "http://m:1", "us@er"),
        ("https://m/prefix/", "https://m/prefix", "us@er"),
        ("http://a%3A:b%40@[::1]:15672", "http://[::1]:15672", "a:"),
    ],
)
def test_an_address_of_its_own(url: str, base: str, user: str) -> None:
    found = places.management(Endpoint(URL, management=url), PARTS)
    assert (found.base, found.username) == (base, user)
    assert found.base + "b@" not in repr(found)
    assert "b@" not in repr(found)


@pytest.mark.parametrize("url", ["amqp://secret@m:1", "secret", "http://:1", "http://user:secret@m:port"])
def test_an_unusable_address_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="is no http:// or https:// URL") as caught:
        places.management(Endpoint(URL, management=url), PARTS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("vhost", "path"), [("/", "%2F"), ("a/b c%?&", "a%2Fb%20c%25%3F%26"), ("ö", "%C3%B6")])
def test_a_vhost_is_one_part_of_the_path(vhost: str, path: str) -> None:
    assert places.every_queue(vhost).startswith(f"/api/queues/{path}?columns=")
    assert f"?vhost={path}&" in places.coarse_metrics(vhost)
    assert places.page_of_queues(vhost, 2).startswith(f"/api/queues/{path}?")
