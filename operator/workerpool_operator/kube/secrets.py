"""Connection URLs out of Secrets: each used Secret is read every few seconds, once for all pools that use it.

Only `get` is asked of the API server, so Secrets that no pool names are never seen. Values stay in memory: they are
compared there, and never logged, hashed or written anywhere.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workerpool_contract.backlog import Unknown
from workerpool_contract.secretrefs import SecretKeyRef
from workerpool_operator.backlog.watch import secret_forbidden, secret_key_missing, secret_missing, secret_unnamed
from workerpool_operator.kube.api import SECRETS, ApiError, Body, Forbidden, KubeApi, NotFound
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.owned import Sightings

logger = logging.getLogger(__name__)

INTERVAL = 5.0
# Reads per second over all Secrets, and how many at a time: beyond, the interval grows instead.
MOST_READS = 50.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SecretUrl:
    """A URL and the resourceVersion of its Secret at which it was last seen to change."""

    url: str = field(repr=False)
    version: str


class _Gone:
    """Why a Secret could not be read: the words for it are made per reference."""

    def __init__(self, words: Callable[[SecretKeyRef], Unknown]) -> None:
        self.words = words


@dataclass(slots=True)
class _Secret:
    """One Secret: who uses which of its keys, and what was read of it last.

    ``known``: the last value of each key, also of one that is missing now. ``seen``: the newest version that was read.
    """

    users: dict[PoolKey, SecretKeyRef] = field(default_factory=dict)
    urls: dict[str, SecretUrl] = field(default_factory=dict, repr=False)
    known: dict[str, SecretUrl] = field(default_factory=dict, repr=False)
    seen: str = ""
    gone: _Gone | None = None
    read: frozenset[str] = frozenset()
    busy: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """The keys that somebody uses; others are not kept."""
        return frozenset(reference.key for reference in self.users.values())

    def answer(self, reference: SecretKeyRef) -> SecretUrl | Unknown:
        """What is known of one key."""
        if self.gone is not None:
            return self.gone.words(reference)
        return self.urls.get(reference.key) or secret_key_missing(reference)

    def take(self, body: Body, keys: frozenset[str]) -> None:
        """Keeps what was read."""
        self.gone, self.seen = None, body["metadata"]["resourceVersion"]
        data = {key: value for key, value in (body.get("data") or {}).items() if key in keys}
        self.urls = _urls(data, self.seen, self.known)
        self.known = {key: url for key, url in {**self.known, **self.urls}.items() if key in keys}


class Secrets:
    """The URLs of all pools. ``changed``: told a pool whose Secret changed."""

    def __init__(self, api: KubeApi, changed: Callable[[PoolKey], None]) -> None:
        """Reads nothing yet."""
        self._api = api
        self._changed = changed
        self._secrets: dict[tuple[str, str], _Secret] = {}
        self._used: dict[PoolKey, tuple[str, str]] = {}

    async def url(self, pool: PoolKey, reference: SecretKeyRef | None) -> SecretUrl | Unknown:
        """The URL of a pool, or why there is none; asks the API server only for a Secret that was not read yet.

        Raises ApiError when that first read fails for another reason than the Secret itself.
        """
        if reference is None:
            self.forget(pool)
            return secret_unnamed()
        where = (pool.namespace, reference.name)
        if self._used.get(pool) != where:
            self.forget(pool)
        secret = self._secrets.setdefault(where, _Secret())
        self._used[pool] = where
        secret.users[pool] = reference
        if reference.key not in secret.read:
            await self._read(where, secret)
        return secret.answer(reference)

    def sightings(self, pool: PoolKey) -> Sightings | None:
        """Between which versions of its Secret the pool's URL is known to be the same, None while it is unknown."""
        where = self._used.get(pool)
        if where is None:
            return None
        secret = self._secrets[where]
        found = secret.answer(secret.users[pool])
        return None if isinstance(found, Unknown) else Sightings(found.version, secret.seen)

    def forget(self, pool: PoolKey) -> None:
        """Reads for ``pool`` no longer; a Secret that nobody uses is dropped from memory."""
        where = self._used.pop(pool, None)
        if where is None:
            return
        del self._secrets[where].users[pool]
        if not self._secrets[where].users:
            del self._secrets[where]

    async def poll(self) -> None:
        """Reads every used Secret again and again, spread over the interval."""
        limit = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                round_ = list(self._secrets.items())
                if not round_:
                    await asyncio.sleep(INTERVAL)
                for where, secret in round_:
                    await asyncio.sleep(max(1 / MOST_READS, INTERVAL / len(round_)))
                    if self._secrets.get(where) is secret and not secret.busy:
                        await limit.acquire()
                        secret.busy = True
                        group.create_task(self._turn(where, secret, limit))

    async def _turn(self, where: tuple[str, str], secret: _Secret, limit: asyncio.Semaphore) -> None:
        try:
            await self._again(where, secret)
        finally:
            secret.busy = False
            limit.release()

    async def _again(self, where: tuple[str, str], secret: _Secret) -> None:
        before, seen = {pool: secret.answer(reference) for pool, reference in secret.users.items()}, secret.seen
        try:
            await self._read(where, secret)
        except ApiError as error:
            # What was known still holds: an API server that is away changes no password.
            logger.debug("Could not read Secret %s/%s: %s", *where, error)
            return
        for pool, answer in before.items():
            if pool in secret.users and (secret.seen != seen or secret.answer(secret.users[pool]) != answer):
                self._changed(pool)

    async def _read(self, where: tuple[str, str], secret: _Secret) -> None:
        keys = secret.keys
        try:
            body = await self._api.get(SECRETS, *where)
        except NotFound:
            secret.gone = _Gone(secret_missing)
        except Forbidden:
            secret.gone = _Gone(secret_forbidden)
        else:
            secret.take(body, keys)
        secret.read = keys


def _urls(data: Mapping[str, str], version: str, before: Mapping[str, SecretUrl]) -> dict[str, SecretUrl]:
    """Every value with the version at which it became what it is."""
    found: dict[str, SecretUrl] = {}
    for key, encoded in data.items():
        text = _decoded(encoded)
        if text:
            known = before.get(key)
            found[key] = known if known is not None and known.url == text else SecretUrl(text, version)
    return found


def _decoded(encoded: str) -> str:
    """The text of a value, empty when it is none. A line break at its end comes from a file and belongs to no URL."""
    try:
        return base64.b64decode(encoded).decode().rstrip("\n")
    except (binascii.Error, UnicodeDecodeError):
        return ""
