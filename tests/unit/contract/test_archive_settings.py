"""The archive's settings survive the environment, come from manifests, and know the names of the old worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workerpool_contract.archive import (
    ARCHIVE_VARIABLES,
    ArchiveSettings,
    ArchiveSpec,
    archive_from_environment,
    archive_settings_of,
    archive_to_environment,
    archive_url,
)
from workerpool_contract.variables import SettingsError

text = st.from_regex(r"[a-z][a-z0-9_./:@-]{0,30}", fullmatch=True)
settings = st.builds(
    ArchiveSettings,
    endpoint=st.none() | text,
    region=text,
    bucket=st.none() | text,
    access_key=text,
    secret_key=text,
    key_template=text,
    content_type=st.none() | text,
    required_fields=st.lists(text, max_size=4).map(tuple),
    batch_messages=st.none() | st.integers(1, 1000),
    batch_seconds=st.floats(0.001, 300),
    batch_bytes=st.integers(1024, 1 << 26),
    batch_key_template=text,
)
MANIFEST = {
    "endpoint": "http://garage:3900",
    "region": "garage",
    "bucket": "ux-auditor-sessions",
    "credentialsSecretRef": {"name": "garage", "regionKey": "region"},
    "requiredFields": ["kind", "events"],
    "batch": {"maxMessages": 50, "maxSeconds": 2},
}


@given(settings)
def test_settings_survive_the_environment(given_settings: ArchiveSettings) -> None:
    environ = archive_to_environment(given_settings)
    assert all(name.startswith("WORKERPOOL_") for name in environ)
    assert archive_from_environment(environ) == given_settings


def test_every_field_has_a_variable() -> None:
    assert {variable.field for variable in ARCHIVE_VARIABLES} == set(ArchiveSettings.__dataclass_fields__)


def test_the_old_names_fill_in_and_keys_are_never_shown() -> None:
    old = {f"GARAGE_{name}": name.lower() for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET", "REGION")}
    found = archive_from_environment(old | {"WORKERPOOL_S3_BUCKET": "new"})
    assert found == ArchiveSettings(
        endpoint="endpoint", region="region", bucket="new", access_key="access_key", secret_key="secret_key"
    )
    assert "secret_key" not in repr(found).replace("secret_key=", "")
    with pytest.raises(SettingsError, match="WORKERPOOL_S3_ACCESS_KEY is missing"):
        archive_from_environment({"GARAGE_SECRET_KEY": "hunter2"})


def test_a_manifest_becomes_settings_and_its_secrets_become_variables() -> None:
    spec = ArchiveSpec.model_validate(MANIFEST)
    assert archive_settings_of(spec) == ArchiveSettings(
        endpoint="http://garage:3900",
        region="garage",
        bucket="ux-auditor-sessions",
        required_fields=("kind", "events"),
        batch_messages=50,
        batch_seconds=2.0,
    )
    assert {
        (secret.variable, secret.name, secret.key, secret.key_field.rpartition(".")[2]) for secret in spec.secrets
    } == {
        ("WORKERPOOL_S3_ACCESS_KEY", "garage", "accessKey", "accessKeyKey"),
        ("WORKERPOOL_S3_SECRET_KEY", "garage", "secretKey", "secretKeyKey"),
        ("WORKERPOOL_S3_REGION", "garage", "region", "regionKey"),
    }


def test_a_manifest_says_nothing_by_default() -> None:
    assert archive_settings_of(ArchiveSpec()) == ArchiveSettings()
    assert ArchiveSpec().secrets == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "garage:3900"},
        {"endpoint": "http://key:secret@garage"},
        {"bucket": "Up"},
        {"keyTemplate": "/{a}"},
        {"keyTemplate": "{a"},
        {"requiredFields": ["a,b"]},
        {"batch": {"maxMessages": 0}},
        {"batch": {"maxBytes": 1}},
        {"secretKey": "hunter2"},
    ],
)
def test_a_bad_manifest_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ArchiveSpec.model_validate(wrong)


def test_the_broker_of_the_old_worker_beats_a_database_of_somebody_else() -> None:
    environ = {"RABBITMQ_URL": "amqp://old", "DATABASE_URL": "postgresql://else"}
    assert archive_url(environ) == "amqp://old"
    assert archive_url(environ | {"WORKERPOOL_URL": "amqp://new"}) is None
    assert archive_url({"DATABASE_URL": "postgresql://else"}) is None
