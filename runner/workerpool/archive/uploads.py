"""One signed PUT per object, without the machinery that an S3 client puts around every call.

Resolving the endpoint, checking the parameters and emitting the events of a client cost four times the CPU of the
request itself. The credentials, the signature and the certificates are botocore's all the same; the address is always
the path's form (``https://server/bucket/key``), which every S3 server knows.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from workerpool.archive.faults import answered

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
"""Longest silence of the server during a call, in seconds."""
_FIRST_ERROR: Final = 300


class Uploads:
    """Puts objects into one bucket. Made inside a running loop.

    ``session``: botocore's, with credentials and settings. ``url``: the server's, without the bucket. ``connections``:
    uploads at the same time.
    """

    def __init__(self, session: Any, url: str, bucket: str, region: str, connections: int) -> None:  # noqa: ANN401 - botocore has no types
        from aiohttp import ClientSession, ClientTimeout, TCPConnector
        from botocore.parsers import create_parser
        from botocore.utils import get_environ_proxies

        self._session = session
        self._url = f"{url.rstrip('/')}/{bucket}/"
        self._region = region
        self._credentials: Any = None
        self._parser = create_parser("rest-xml")
        context = _certificates(session) if url.startswith("https:") else False
        self._http = ClientSession(
            connector=TCPConnector(limit=connections, ssl=context),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            auto_decompress=False,
            proxy=get_environ_proxies(url).get(url.partition(":")[0]),
        )

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.close()

    async def put(self, key: str, body: bytes, headers: Mapping[str, str], doing: str) -> Mapping[str, str]:
        """The headers of the server's answer. Raises Fault for an error in it, else botocore's and aiohttp's."""
        url = self._url + quote(key, safe="/~")
        request = await self._signed(url, body, headers)
        # The URL is signed as it is written: nobody may spell it in another way.
        async with self._http.put(_verbatim(url), data=body, headers=request, allow_redirects=False) as answer:
            text = await answer.read()
            if answer.status < _FIRST_ERROR:
                return answer.headers
            raw = {"status_code": answer.status, "headers": answer.headers, "body": text}
            raise answered(self._parser.parse(raw, None), doing)

    async def _signed(self, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import NoCredentialsError

        if self._credentials is None:
            self._credentials = await self._session.get_credentials()
        if self._credentials is None:
            raise NoCredentialsError
        # Those of a role change with time; for fixed ones this costs nothing.
        credentials = await self._credentials.get_frozen_credentials()
        request = AWSRequest("PUT", url, headers=dict(headers), data=body)
        S3SigV4Auth(credentials, "s3", self._region).add_auth(request)
        return dict(request.headers.items())


def _verbatim(url: str) -> Any:  # noqa: ANN401 - yarl's URL
    from yarl import URL

    return URL(url, encoded=True)


def _certificates(session: Any) -> ssl.SSLContext:  # noqa: ANN401 - botocore has no types
    """Whom to trust: AWS_CA_BUNDLE or the profile's ca_bundle, else what botocore trusts."""
    from botocore.httpsession import get_cert_path

    return ssl.create_default_context(cafile=get_cert_path(session.get_config_variable("ca_bundle") or True))
