"""`workerpool up` with all that a manifest can say of a broker and a builtin worker, from Secrets in its files."""

import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.local_up import WITHIN, finished, manifest, up
from tests.support.rabbitmq import PASSWORD, Vhost, throw_away_broker
from tests.support.s3 import REGION, S3Server
from tests.support.waiting import eventually
from workerpool.producer import get_producer

pytestmark = pytest.mark.timeout(600)


async def test_a_broker_that_nobody_names_ends_with_code_2_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORKERPOOL_URL", "WORKERPOOL_RABBITMQ_HOST", "RABBITMQ_URL"):
        monkeypatch.delenv(name, raising=False)
    code, output = await finished(tmp_path, "-f", manifest(tmp_path, "quick", source="rabbitmq"))
    assert code == 2
    assert "quick: spec.source.rabbitmq: nobody says where the broker is, and none is embedded; give --url" in output
    assert "Traceback" not in output


@pytest.mark.rabbitmq
async def test_an_archive_on_a_broker_by_its_parts_with_tls(tmp_path: Path, s3_server: S3Server) -> None:
    with throw_away_broker(tls=True) as broker:
        vhost = broker.create_vhost()
        assert broker.authority is not None
        bucket = s3_server.create_bucket()
        source = {
            "queue": "raw_sessions",
            "host": broker.host,
            "port": broker.tls_port,
            "vhost": vhost.name,
            "credentialsSecretRef": {"name": "mq"},
            "tls": {"caSecretRef": {"name": "mq-ca"}},
            "management": {"url": f"http://{broker.host}:{broker.ports.management}"},
        }
        archive = {
            "endpoint": s3_server.endpoint,
            "region": REGION,
            "bucket": bucket,
            "credentialsSecretRef": {"name": "s3"},
        }
        pool = {
            "apiVersion": "workerpool.dev/v1",
            "kind": "WorkerPool",
            "metadata": {"name": "archive"},
            "spec": {
                "source": {"rabbitmq": source},
                "worker": {"builtin": "s3-archive", "archive": archive},
                "scaling": {"pollIntervalSeconds": 1, "scaleDown": {"stabilizationSeconds": 0}},
            },
        }
        secrets = {
            "mq": {"username": vhost.user, "password": PASSWORD},
            "mq-ca": {"ca.crt": broker.authority.certificate.read_text()},
            "s3": {"accessKey": s3_server.access_key, "secretKey": s3_server.secret_key},
        }
        path = tmp_path / "pools.yaml"
        kept = [{"kind": "Secret", "metadata": {"name": name}, "stringData": data} for name, data in secrets.items()]
        path.write_text(yaml.safe_dump_all([pool, *kept]))
        sessions = [{"user_id": f"u{number}", "session_uuid": f"s{number}", "n": number} for number in range(20)]
        async with get_producer(vhost.url) as producer:
            await producer.enqueue_many("raw_sessions", sessions)
        code, output = await finished(tmp_path, "-f", path, "--until-empty")
        assert code == 0, output
        assert PASSWORD not in output
        assert s3_server.secret_key not in output
        expected = {f"sessions/{it['user_id']}/{it['session_uuid']}.json": it for it in sessions}
        assert {key: json.loads(text) for key, text in s3_server.objects(bucket).items()} == expected


@pytest.mark.rabbitmq
async def test_a_refused_login_is_one_short_line_that_names_the_option(tmp_path: Path, vhost: Vhost) -> None:
    wrong = f"amqp://{vhost.user}:hunter22@{vhost.broker.host}:{vhost.broker.amqp_port}/{vhost.quoted}"
    management = f"http://{vhost.broker.host}:{vhost.broker.ports.management}"
    environ = {"WORKERPOOL_RABBITMQ_MANAGEMENT_URL": management}
    path = manifest(tmp_path, "quick", source="rabbitmq")
    async with up(tmp_path, "-f", path, "--url", wrong, "--no-tui", **environ) as it:

        async def told() -> bool:
            return any("refused the login; check user and password in --url |" in line for line in it.other)

        await eventually(told, "the refusal", within=WITHIN)
        it.process.send_signal(signal.SIGTERM)
        assert await it.ends() == 0
    [first, *_] = (line for line in it.other if "refused" in line)
    assert first.count("refused") == 1
    assert "Secret" not in first
    assert "why: backlog unknown: 0 held" in first
    assert "hunter22" not in "".join(it.other)


@pytest.mark.rabbitmq
async def test_runners_that_cannot_work_are_told_with_the_reason(tmp_path: Path, vhost: Vhost) -> None:
    """The backlog is read from the management API, so that nothing but the runners shows the wrong port."""
    port = urlsplit(vhost.management_url).port
    wrong = vhost.url.replace(f":{vhost.broker.amqp_port}/", f":{port}/")
    async with get_producer(vhost.url) as producer:
        await producer.enqueue_many("quick", [{}])
    path = manifest(tmp_path, "quick", source="rabbitmq")
    environ = {"WORKERPOOL_RABBITMQ_MANAGEMENT_URL": vhost.management_url}
    async with up(tmp_path, "-f", path, "--url", wrong, "--no-tui", **environ) as running:

        async def told() -> bool:
            return any(
                "| 0 of 1 replicas (+1 not ready), 0 busy |" in line
                and "| quick-1 is not ready: source: RabbitMQ at" in line
                and f"if {port} is the port of the management API" in line
                for line in running.other
            )

        await eventually(told, f"the reason in {running.other}", within=WITHIN)
        assert PASSWORD not in "".join(running.other)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ends() == 0
