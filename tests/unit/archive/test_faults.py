"""What an answer of an S3 server means for a message."""

from typing import Any

import pytest

from workerpool.archive.faults import Kind, answered


def response(code: str, status: int) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("EntityTooLarge", 400, Kind.IMPOSSIBLE),
        ("KeyTooLongError", 400, Kind.IMPOSSIBLE),
        ("InvalidObjectName", 400, Kind.IMPOSSIBLE),
        ("", 413, Kind.IMPOSSIBLE),
        ("AccessDenied", 403, Kind.DENIED),
        ("InvalidAccessKeyId", 403, Kind.DENIED),
        ("SignatureDoesNotMatch", 403, Kind.DENIED),
        ("AuthorizationHeaderMalformed", 400, Kind.DENIED),
        ("NoSuchBucket", 404, Kind.DENIED),
        ("PermanentRedirect", 301, Kind.DENIED),
        ("", 403, Kind.DENIED),
        ("SlowDown", 503, Kind.AWAY),
        ("BadDigest", 400, Kind.AWAY),
        ("InternalError", 500, Kind.AWAY),
        ("", 502, Kind.AWAY),
        ("", 429, Kind.AWAY),
        ("RequestTimeout", 400, Kind.AWAY),
        ("", 0, Kind.AWAY),
        ("InvalidArgument", 400, Kind.REFUSED),
        ("ObjectParentIsFile", 409, Kind.REFUSED),
    ],
)
def test_kinds(code: str, status: int, kind: Kind) -> None:
    fault = answered(response(code, status), "storing x")
    assert fault.kind is kind
    assert str(fault).startswith(f"storing x: the server answered {status} {code}: because")


def test_what_the_keys_lack_is_said_with_the_cure() -> None:
    assert str(answered(response("SignatureDoesNotMatch", 403), "x")).endswith("; correct the secret key")
    assert str(answered(response("AccessDenied", 403), "x")).endswith(
        "; check the keys and what they may do in the bucket"
    )
