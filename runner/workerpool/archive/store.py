"""The S3 server as the archive uses it: one session for the life of the process, one object per call, confirmed.

An object counts as stored when the server has checked its MD5 (the Content-MD5 header, which every S3 server knows)
and names the same sum as the object's ETag. botocore's own newer checksums are off: older servers refuse them. The
bucket is aioboto3's business; objects go by `workerpool.archive.uploads`, which costs a quarter.
"""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from workerpool.archive.faults import Fault, Kind, answered
from workerpool.archive.uploads import CONNECT_SECONDS, READ_SECONDS, Uploads
from workerpool.errors import ConfigError
from workerpool_contract.archive import DEFAULT_REGION, ArchiveSettings

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_CREATED: Final = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
_ENCRYPTION: Final = "x-amz-server-side-encryption"
_OTHER_ETAG: Final = ("x-amz-server-side-encryption-customer-algorithm",)
_KEYS: Final = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "RequestTimeTooSkewed",
                "AuthorizationHeaderMalformed")  # fmt: skip
"""Answers that no right in a policy would change."""


class Store:
    """The bucket of ``settings``. ``connections``: calls at the same time. ``observe``: told seconds of each upload."""

    def __init__(self, settings: ArchiveSettings, bucket: str, connections: int, clock: Callable[[], float]) -> None:
        self.bucket = bucket
        self.has_bucket = False
        self._settings = settings
        self._connections = connections
        self._clock = clock
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._uploads: Uploads | None = None

    @property
    def shown(self) -> str:
        """The server in messages."""
        return self._settings.endpoint or f"AWS ({self._settings.region})"

    async def open(self) -> None:
        """Makes the client; nothing is sent yet. Raises ConfigError."""
        core, session, config = _libraries(self._settings)
        try:
            client = session.client("s3", endpoint_url=self._settings.endpoint, config=config)
            self._client = client = await self._stack.enter_async_context(client)
        except ValueError as error:
            raise ConfigError(
                f"endpoint: {self._settings.endpoint!r} can't be used: {error}; write for example http://garage:3900"
            ) from error
        url, region = client.meta.endpoint_url, self._settings.region
        self._uploads = Uploads(core, url, self.bucket, region, self._connections)
        self._stack.push_async_callback(self._uploads.close)

    async def close(self) -> None:
        """Ends the connections."""
        await self._stack.aclose()

    async def ensure_bucket(self) -> None:
        """Creates the bucket when it is missing; whoever else creates it meanwhile is welcome. Raises Fault."""
        if self.has_bucket:
            return
        try:
            async with _calling(f"looking for bucket {self.bucket!r} on {self.shown}"):
                await self._client.head_bucket(Bucket=self.bucket)
        except Fault as fault:
            if fault.kind is Kind.AWAY:
                raise
            if fault.code in ("404", "NoSuchBucket", "NotFound"):
                await self._create()
            else:
                await self._explain()
        self.has_bucket = True

    async def put(self, key: str, body: bytes, content_type: str) -> float:
        """Stores one object; the seconds that it took, once the server confirmed it. Raises Fault."""
        assert self._uploads is not None
        digest = hashlib.md5(body, usedforsecurity=False)
        began = self._clock()
        doing = f"storing {key[:200]} in bucket {self.bucket!r} on {self.shown}"
        headers = {"Content-Type": content_type, "Content-MD5": base64.b64encode(digest.digest()).decode()}
        try:
            async with _calling(doing):
                answer = await self._uploads.put(key, body, headers, doing)
        except Fault as fault:
            if fault.code == "NoSuchBucket":
                self.has_bucket = False
            raise
        _confirm(answer, digest.hexdigest(), doing)
        return self._clock() - began

    async def _create(self) -> None:
        region = self._settings.region
        # AWS wants the region said twice; other servers have one region and don't always know the word.
        place = self._settings.endpoint is None and region != DEFAULT_REGION
        more = {"CreateBucketConfiguration": {"LocationConstraint": region}} if place else {}
        try:
            async with _calling(f"creating the missing bucket {self.bucket!r} on {self.shown}"):
                await self._client.create_bucket(Bucket=self.bucket, **more)
        except Fault as fault:
            if fault.code in _CREATED:
                return
            raise _as_denied(fault) from fault

    async def _explain(self) -> None:
        """A refused HEAD has no body to say why. Keys that are wrong are told; a right that lacks may not matter."""
        try:
            async with _calling(f"opening bucket {self.bucket!r} on {self.shown}"):
                await self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except Fault as fault:
            if fault.kind is Kind.AWAY or fault.code in _KEYS or fault.kind is Kind.REFUSED:
                raise _as_denied(fault) from fault


def _as_denied(fault: Fault) -> Fault:
    """No job is to blame for what the server says about the bucket."""
    return fault if fault.kind is Kind.AWAY else Fault(Kind.DENIED, fault.words, fault.code)


def _confirm(answer: Mapping[str, str], md5: str, doing: str) -> None:
    """Raises Fault unless the server names the sum of what was sent in its answer's headers.

    An ETag of another form, or beside encryption with a key of its own, is no MD5; the server has checked it all the
    same.
    """
    etag = answer.get("ETag", "").strip('"').lower()
    if any(name in answer for name in _OTHER_ETAG) or answer.get(_ENCRYPTION, "").startswith("aws:kms"):
        return
    if _MD5.fullmatch(etag) and etag != md5:
        raise Fault(Kind.AWAY, f"{doing}: the server holds other bytes (ETag {etag}, sent {md5}); it is sent again")
    if not etag:
        raise Fault(Kind.AWAY, f"{doing}: the server confirmed nothing (no ETag); is this an S3 server?")


@asynccontextmanager
async def _calling(doing: str) -> AsyncIterator[None]:
    """Turns whatever a call raises into a Fault that says what was being done."""
    from aiohttp import ClientError as HttpError
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise answered(error.response, doing) from None
    except boto.ParamValidationError:
        raise
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise Fault(Kind.DENIED, f"{doing}: {error}; set the access key and the secret key") from None
    except (boto.BotoCoreError, HttpError, OSError) as error:
        raise Fault(Kind.AWAY, f"{doing}: {str(error) or type(error).__name__}") from None


def _libraries(settings: ArchiveSettings) -> tuple[Any, Any, Any]:
    """The session of botocore, aioboto3's around it, and the client's configuration. Raises ConfigError."""
    try:
        import aioboto3
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
    except ImportError as error:
        raise ConfigError("s3-archive needs aioboto3, which is not installed; pip install 'workerpool[s3]'") from error
    core = AioSession()
    if settings.access_key is not None:
        core.set_credentials(settings.access_key, settings.secret_key)
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
        signature_version="s3v4",
    )
    return core, aioboto3.Session(botocore_session=core, region_name=settings.region), config
