"""What a failed call to an S3 server means for the message: never possible, not now, or not with these keys. Pure."""

from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """Away: the server does not answer, or says that it can't now. Denied: it refuses the keys or the bucket.

    Refused: it answered that it won't take this object, nobody knows why. Impossible: it can never take it.
    """

    AWAY = "away"
    DENIED = "denied"
    REFUSED = "refused"
    IMPOSSIBLE = "impossible"


class Fault(Exception):
    """A failed call: its ``kind``, what happened in ``words``, and the server's own ``code`` ('' when none came)."""

    def __init__(self, kind: Kind, words: str, code: str = "") -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words
        self.code = code


IMPOSSIBLE: Final = frozenset(
    {"EntityTooLarge", "KeyTooLongError", "KeyTooLong", "InvalidKey", "InvalidURI", "InvalidObjectName",
     "XMinioInvalidObjectName"}
)  # fmt: skip
DENIED: Final = frozenset(
    {"AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken",
     "IllegalLocationConstraintException", "InvalidAccessKeyId", "InvalidBucketName", "InvalidRegion",
     "InvalidSecurity", "InvalidToken", "NoSuchBucket", "NotSignedUp", "PermanentRedirect", "RequestTimeTooSkewed",
     "SignatureDoesNotMatch", "TemporaryRedirect", "TokenRefreshRequired"}
)  # fmt: skip
AWAY: Final = frozenset(
    {"BadDigest", "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeoutException",
     "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}
)  # fmt: skip

_DENIED_STATUS: Final = frozenset({301, 307, 401, 403, 404})
_AWAY_STATUS: Final = frozenset({408, 425, 429})
_IMPOSSIBLE_STATUS: Final = frozenset({413, 414})
_SERVER_ERROR: Final = 500

CURES: Final = {
    "NoSuchBucket": "create the bucket, or allow these keys to create it",
    "RequestTimeTooSkewed": "set this machine's clock",
    "SignatureDoesNotMatch": "correct the secret key",
    "InvalidAccessKeyId": "correct the access key",
    "XAdminUserNotFound": "correct the access key",
    "AuthorizationHeaderMalformed": "correct the region",
    "InvalidBucketName": "correct the bucket's name",
    "PermanentRedirect": "correct the region or the endpoint",
    "301": "correct the region or the endpoint",
}


def answered(response: Any, doing: str) -> Fault:  # noqa: ANN401 - botocore's dictionary
    """The fault in an answer of the server: ``response`` as botocore's ClientError carries it, ``doing`` in words."""
    error = response.get("Error", {})
    code, status = str(error.get("Code", "")), int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind = _kind(code, status)
    words = f"{doing}: the server answered {status} {code}: {str(error.get('Message', ''))[:200]}"
    cure = CURES.get(code, "check the keys and what they may do in the bucket" if kind is Kind.DENIED else "")
    return Fault(kind, f"{words}; {cure}" if cure else words, code)


def _kind(code: str, status: int) -> Kind:
    for codes, kind in ((IMPOSSIBLE, Kind.IMPOSSIBLE), (DENIED, Kind.DENIED), (AWAY, Kind.AWAY)):
        if code in codes:
            return kind
    if status in _IMPOSSIBLE_STATUS:
        return Kind.IMPOSSIBLE
    if status in _DENIED_STATUS:
        return Kind.DENIED
    return Kind.AWAY if status >= _SERVER_ERROR or status in _AWAY_STATUS or not status else Kind.REFUSED
