"""Values out of Secrets: each used Secret is read every few seconds, once for all pools that use it.

Only `get` is asked of the API server, so Secrets that no pool names are never seen. Values stay in memory: they are
compared there, and never logged, hashed or written anywhere.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workerpool_contract.secretrefs import SecretUse
from workerpool_operator.backlog.endpoints import Lack
from workerpool_operator.kube.api import SECRETS, ApiError, Body, Forbidden, KubeApi, NotFound
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.owned import Sightings

logger = logging.getLogger(__name__)

INTERVAL = 5.0
# Reads per second over all Secrets, and how many at a time: beyond, the interval grows instead.
MOST_READS = 50.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A value and the resourceVersion of its Secret at which it was last seen to change."""

    text: str = field(repr=False)
    version: str


Answer = SecretValue | Lack


@dataclass(slots=True)
class _Secret:
    """One Secret: who uses which of its keys, and what was read of it last.

    ``known``: the last value of each key, also of one that is missing now. ``seen``: the newest version that was read.
    """

    users: dict[PoolKey, tuple[SecretUse, ...]] = field(default_factory=dict)
    values: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    known: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    seen: str = ""
    gone: Lack | None = None
    read: frozenset[str] = frozenset()
    busy: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """The keys that somebody uses; others are not kept."""
        return frozenset(use.key for uses in self.users.values() for use in uses)

    def answer(self, key: str) -> Answer:
        """What is known of one key."""
        return self.gone or self.values.get(key) or Lack.NO_VALUE

    def answers(self, uses: Iterable[SecretUse]) -> dict[SecretUse, Answer]:
        """What is known of each of ``uses``."""
        return {use: self.answer(use.key) for use in uses}

    def sightings(self, pool: PoolKey) -> Sightings | None:
        """Between which versions all that the runners of ``pool`` get is known to be the same."""
        found = [self.answer(use.key) for use in self.users[pool] if use.in_pods]
        values = [it for it in found if isinstance(it, SecretValue)]
        if len(values) < len(found):
            return None
        return Sightings(max((value.version for value in values), key=int), self.seen)

    def take(self, body: Body, keys: frozenset[str]) -> None:
        """Keeps what was read."""
        self.gone, self.seen = None, body["metadata"]["resourceVersion"]
        data = {key: value for key, value in (body.get("data") or {}).items() if key in keys}
        self.values = _values(data, self.seen, self.known)
        self.known = {key: value for key, value in {**self.known, **self.values}.items() if key in keys}


class Secrets:
    """The values for all pools. ``changed``: told a pool of which a Secret changed."""

    def __init__(self, api: KubeApi, changed: Callable[[PoolKey], None]) -> None:
        """Reads nothing yet."""
        self._api = api
        self._changed = changed
        self._secrets: dict[tuple[str, str], _Secret] = {}
        self._used: dict[PoolKey, tuple[SecretUse, ...]] = {}

    async def values(self, pool: PoolKey, uses: Sequence[SecretUse]) -> dict[SecretUse, Answer]:
        """What is known of each of ``uses``; asks the API server only for a Secret that was not read yet.

        Raises ApiError when that first read fails for another reason than the Secret itself.
        """
        if self._used.get(pool) != tuple(uses):
            self._use(pool, tuple(uses))
        found: dict[SecretUse, Answer] = {}
        for where, secret in self._of(pool):
            asked = secret.users[pool]
            if not secret.read.issuperset(use.key for use in asked):
                await self._read(where, secret)
            found |= secret.answers(asked)
        return {use: found[use] for use in uses}

    def sightings(self, pool: PoolKey) -> dict[str, Sightings | None] | None:
        """Of each Secret that the pool's runners use, between which versions it is known to say the same.

        None in the place of one while that is not known; None for a pool that was not asked for yet.
        """
        uses = self._used.get(pool)
        if uses is None:
            return None
        names = {use.name for use in uses if use.in_pods}
        return {where[1]: secret.sightings(pool) for where, secret in self._of(pool) if where[1] in names}

    def forget(self, pool: PoolKey) -> None:
        """Reads for ``pool`` no longer; a Secret that nobody uses is dropped from memory."""
        for where, secret in self._of(pool):
            del secret.users[pool]
            if not secret.users:
                del self._secrets[where]
        self._used.pop(pool, None)

    def _use(self, pool: PoolKey, uses: tuple[SecretUse, ...]) -> None:
        """Registers what a pool uses; a Secret that it goes on using keeps what is known of it."""
        kept = dict(self._of(pool))
        self.forget(pool)
        for use in uses:
            where = (pool.namespace, use.name)
            secret = self._secrets.setdefault(where, kept.get(where) or _Secret())
            secret.users[pool] = (*secret.users.get(pool, ()), use)
        self._used[pool] = uses

    def _of(self, pool: PoolKey) -> list[tuple[tuple[str, str], _Secret]]:
        places = dict.fromkeys((pool.namespace, use.name) for use in self._used.get(pool, ()))
        return [(where, self._secrets[where]) for where in places]

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
        before, seen = {pool: secret.answers(uses) for pool, uses in secret.users.items()}, secret.seen
        try:
            await self._read(where, secret)
        except ApiError as error:
            # What was known still holds: an API server that is away changes no password.
            logger.debug("Could not read Secret %s/%s: %s", *where, error)
            return
        for pool, answers in before.items():
            if pool in secret.users and (secret.seen != seen or secret.answers(answers) != answers):
                self._changed(pool)

    async def _read(self, where: tuple[str, str], secret: _Secret) -> None:
        keys = secret.keys
        try:
            body = await self._api.get(SECRETS, *where)
        except NotFound:
            secret.gone = Lack.MISSING
        except Forbidden:
            secret.gone = Lack.FORBIDDEN
        else:
            secret.take(body, keys)
        secret.read = keys


def _values(data: Mapping[str, str], version: str, before: Mapping[str, SecretValue]) -> dict[str, SecretValue]:
    """Every value with the version at which it became what it is."""
    found: dict[str, SecretValue] = {}
    for key, encoded in data.items():
        text = _decoded(encoded)
        if text:
            known = before.get(key)
            found[key] = known if known is not None and known.text == text else SecretValue(text, version)
    return found


def _decoded(encoded: str) -> str:
    """The text of a value, empty when it is none. A line break at its end comes from a file and belongs to no value."""
    try:
        return base64.b64decode(encoded).decode().rstrip("\n")
    except (binascii.Error, UnicodeDecodeError):
        return ""
