"""The pages of a broker, read by HTTP: the management API, and the Prometheus page when that fails.

One request serves every queue of the vhost. It is repeated at most every few seconds, since the numbers behind it
change no faster, and less often on a broker that takes long to answer: listing queues costs it much.
"""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp

from workerpool_contract.amqp import AmqpParts
from workerpool_contract.backlog import Unknown
from workerpool_operator.backlog.rabbitmq import places
from workerpool_operator.backlog.rabbitmq.counts import Listing, Row, Unreadable, management_rows, prometheus_rows
from workerpool_operator.backlog.rabbitmq.places import Place
from workerpool_operator.backlog.watch import Endpoint

EVERY: Final = 2.5
"""Seconds from one listing to the next, at least."""
SHARE: Final = 10
"""A listing that took long is repeated after this many times as long, at the earliest."""
STALE: Final = 30.0
"""Seconds after which a listing says nothing any more."""
RECENT: Final = 10.0
"""Seconds for which a queue that was not in a listing is taken not to exist. Names, unlike counts, don't lag."""
LONGEST_PAUSE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A listing, or why there is none, and when it was read (seconds of the clock)."""

    listing: Listing | Unknown
    at: float


class _Failed(Exception):
    """A page that can't be read; the message completes "<page> …" and names the cure."""


class Pages:
    """Reads the listing of one vhost. Belongs to one loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        parts: AmqpParts,
        *,
        timeout: float = 5.0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nobody yet. ``timeout``: seconds for a page. Raises ValueError for an address that can't be read."""
        self._management = places.management(endpoint, parts)
        self._prometheus = places.prometheus(endpoint, parts)
        self._vhost = parts.vhost
        self._authority = endpoint.authority
        self._timeout = timeout
        self._steady = steady
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._seen: Seen | None = None
        self._due = 0.0
        self._failures = 0
        # Short pages, without the queues of unique keys, where those are many or the whole list took too long.
        self._in_pages = False
        self._slow = False

    def begin(self) -> None:
        """Has the queues listed, when that is due and not under way."""
        if self._task is None and self._steady() >= self._due:
            self._task = asyncio.create_task(self._refresh(), name="list queues")
            self._task.add_done_callback(self._refreshed)

    def lacks(self, names: Iterable[str]) -> set[str]:
        """Those of ``names`` that a listing of a moment ago did not have, though it had every queue."""
        seen = self._seen
        if seen is None or isinstance(seen.listing, Unknown) or not seen.listing.complete:
            return set()
        if self._steady() - seen.at > RECENT:
            return set()
        return {name for name in names if name not in seen.listing.rows}

    async def newest(self, *, at_first: float, later: float = 0.0) -> Seen:
        """The newest listing.

        Waits for one that is under way, but no longer than ``at_first`` seconds before there was any, ``later`` after.
        """
        patience = at_first if self._seen is None else later
        if self._task is not None and patience:
            await asyncio.wait({self._task}, timeout=patience)
        now = self._steady()
        if self._seen is None or now - self._seen.at > STALE:
            return Seen(
                Unknown(f"{self._management.base} takes too long to answer; see {places.MANAGEMENT_FIELD}"), now
            )
        return self._seen

    async def close(self) -> None:
        """Ends what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._session is not None:
            await self._session.close()

    def _refreshed(self, task: asyncio.Task[None]) -> None:
        self._task = None
        with contextlib.suppress(asyncio.CancelledError):
            task.result()

    async def _refresh(self) -> None:
        began = self._steady()
        try:
            listing: Listing | Unknown = await self._first()
            self._failures = 0
            pause = min(LONGEST_PAUSE, max(EVERY, SHARE * (self._steady() - began)))
        except _Failed as failure:
            listing = Unknown(str(failure))
            self._failures += 1
            pause = min(LONGEST_PAUSE, EVERY * 2.0 ** min(self._failures, 8))
        now = self._steady()
        self._due = now + pause
        self._seen = Seen(listing, now)

    async def _first(self) -> Listing:
        """The management API's listing, or that of Prometheus. Raises _Failed with what is wrong with both."""
        try:
            return Listing(await self._from_management(), complete=True, page=self._management.base)
        except _Failed as failure:
            first = f"{self._management.base} {failure}"
        try:
            rows = await self._from_prometheus()
        except _Failed as failure:
            raise _Failed(f"{first}; {self._prometheus.base} {failure}") from None
        # A node shows only those queues whose leader it has.
        return Listing(rows, complete=False, page=self._prometheus.base)

    async def _from_management(self) -> dict[str, Row]:
        if not self._in_pages:
            try:
                found = management_rows(_json(await self._get(self._management, places.every_queue(self._vhost))))
            except TimeoutError:
                self._in_pages = self._slow = True
                raise _Failed(_SLOW) from None
            except Unreadable as error:
                raise _not_management(error) from None
            self._in_pages = found.keys
            return found.rows
        return await self._page_by_page()

    async def _page_by_page(self) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        page, last = 1, 1
        while page <= last:
            try:
                text = await self._get(self._management, places.page_of_queues(self._vhost, page))
                found = management_rows(_json(text))
            except TimeoutError:
                raise _Failed(_SLOW) from None
            except Unreadable as error:
                raise _not_management(error) from None
            rows |= found.rows
            page, last, self._in_pages = page + 1, found.pages, found.keys or self._slow
        return rows

    async def _from_prometheus(self) -> dict[str, Row]:
        try:
            text = await self._get(self._prometheus, places.coarse_metrics(self._vhost))
            return prometheus_rows(text, self._vhost)
        except TimeoutError:
            raise _Failed(f"takes too long to answer; see {places.PROMETHEUS_FIELD}") from None
        except Unreadable as error:
            words = f"{error}; enable the plugin rabbitmq_prometheus, or correct {places.PROMETHEUS_FIELD}"
            raise _Failed(words) from None

    async def _get(self, place: Place, path: str) -> str:
        """The text of a page. Raises TimeoutError, and _Failed for an answer that is no page."""
        auth = None
        if place.username is not None:
            auth = aiohttp.encode_basic_auth(place.username, place.password or "")
        headers = {} if auth is None else {"Authorization": auth}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._opened().get(f"{place.base}{path}", headers=headers, allow_redirects=False) as response,
            ):
                if response.status != HTTPStatus.OK:
                    raise _Failed(_status_words(response.status, place, self._vhost))
                return await response.text(errors="replace")
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise _Failed(_TLS) from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Failed(f"can't be reached; enable its plugin, or correct {place.setting}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cadata=self._authority)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=2))
        return self._session


_SLOW = f"takes too long to answer; see {places.MANAGEMENT_FIELD}"
_TLS = "has a certificate that is not trusted here; set spec.source.rabbitmq.tls.caSecretRef to its authority"


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise Unreadable("answers something that is no JSON") from None


def _not_management(error: Unreadable) -> _Failed:
    return _Failed(f"{error}, so it is no management API; correct {places.MANAGEMENT_FIELD}.url")


def _status_words(status: int, place: Place, vhost: str) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return (
                f"refuses this user ({status}); check user and password in the Secrets of spec.source.rabbitmq or of "
                f"{place.setting}, and give the user the tag management and permissions in vhost {vhost}"
            )
        case HTTPStatus.NOT_FOUND:
            return f"knows no vhost {vhost} ({status}); correct spec.source.rabbitmq.vhost, or {place.setting}"
        case _:
            return f"answers with status {status}; correct {place.setting}, or see the broker's log"
