"""Where the pages of a broker are, and with which credentials they are asked. Pure."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from workerpool_contract.amqp import AmqpParts
from workerpool_operator.backlog.watch import Endpoint

MANAGEMENT_PORT: Final = 15672
MANAGEMENT_TLS_PORT: Final = 15671
PROMETHEUS_PORT: Final = 15692
MANAGEMENT_FIELD: Final = "spec.source.rabbitmq.management"
PROMETHEUS_FIELD: Final = "spec.source.rabbitmq.management.prometheusUrl"
COLUMNS: Final = "name,messages_ready,messages_unacknowledged,consumers,message_stats.ack"
MOST_ROWS: Final = 500
"""The longest page that the management API gives."""

# Each unique key is a queue of its own: there may be more of them than of everything else.
_NO_KEYS = quote(r"^(?!workerpool\.key\.)", safe="")


@dataclass(frozen=True, slots=True)
class Place:
    """A web server: ``base``, its URL without credentials and without a slash at its end, and whom to ask as.

    ``setting``: what to correct in a manifest when it doesn't answer.
    """

    base: str
    setting: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        """Whether it is asked by https."""
        return self.base.startswith("https://")


def management(endpoint: Endpoint, parts: AmqpParts) -> Place:
    """The management API. Raises ValueError for a URL that can't be read; the words repeat nothing of it.

    A broker that is reached by TLS gets no password in clear text, unless somebody writes http:// in so many words.
    """
    user, password = parts.username or "guest", parts.password or "guest"
    if endpoint.management is None:
        scheme, port = ("https", MANAGEMENT_TLS_PORT) if parts.tls else ("http", MANAGEMENT_PORT)
        return Place(f"{scheme}://{parts.bracketed}:{port}", MANAGEMENT_FIELD, user, password)
    base, own = _split(endpoint.management)
    return Place(base, MANAGEMENT_FIELD, *(own or (user, password)))


def prometheus(endpoint: Endpoint, parts: AmqpParts) -> Place:
    """The Prometheus page. Raises ValueError as `management` does."""
    if endpoint.prometheus is None:
        return Place(f"http://{parts.bracketed}:{PROMETHEUS_PORT}", PROMETHEUS_FIELD)
    base, own = _split(endpoint.prometheus)
    return Place(base, PROMETHEUS_FIELD, *(own or (None, None)))


def every_queue(vhost: str) -> str:
    """Path and query that list every queue of ``vhost``."""
    return f"/api/queues/{quote(vhost, safe='')}?columns={COLUMNS}"


def page_of_queues(vhost: str, page: int) -> str:
    """Path and query of one page, from 1 on, of the queues of ``vhost`` without those that stand for unique keys."""
    pages = f"page={page}&page_size={MOST_ROWS}&sort=name&use_regex=true&name={_NO_KEYS}"
    return f"{every_queue(vhost)}&{pages}"


def coarse_metrics(vhost: str) -> str:
    """Path and query of the page with the counts of the queues of ``vhost``."""
    families = "family=queue_coarse_metrics&family=queue_consumer_count"
    return f"/metrics/detailed?vhost={quote(vhost, safe='')}&{families}"


def _split(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without its credentials, and these, decoded."""
    problem = "is no http:// or https:// URL; write http://host:15672"
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError:
        raise ValueError(problem) from None
    if found.scheme not in {"http", "https"} or not found.hostname:
        raise ValueError(problem)
    base = f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path.rstrip('/')}"
    if found.username is None:
        return base, None
    return base, (unquote(found.username), unquote(found.password or ""))
