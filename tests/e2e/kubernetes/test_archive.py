"""examples/session-archive on Kubernetes: from zero, every message an object, and back to zero."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.e2e.kubernetes.pool import QUICK, Pool, make_table
from tests.e2e.kubernetes.queues import RabbitmqQueues
from tests.e2e.kubernetes.release import Operator
from tests.support.patience import until
from tests.support.rabbitmq import Vhost
from tests.support.s3 import REGION, S3Server
from tests.support.tables import Tables

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.rabbitmq, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[3] / "examples" / "session-archive"
SESSIONS = 400


def manifest(source: dict[str, Any], bucket: str) -> dict[str, Any]:
    """The example's pool for this broker and bucket, in a hurry."""
    pool: dict[str, Any] = yaml.safe_load((EXAMPLE / "workerpool.yaml").read_text())
    spec = pool["spec"]
    spec["source"]["rabbitmq"]["management"] = source["rabbitmq"]["management"]
    archive = spec["worker"]["archive"]
    archive["bucket"] = bucket
    archive["credentialsSecretRef"]["regionKey"] = "region"
    spec["scaling"] |= QUICK | {"backlogPerReplica": SESSIONS // 2, "maxReplicas": 2}
    return pool


def secrets(vhost: Vhost, s3: S3Server) -> list[dict[str, Any]]:
    """The two Secrets that the example names."""
    keys = {"endpoint": s3.endpoint, "region": REGION, "accessKey": s3.access_key, "secretKey": s3.secret_key}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        for name, values in (("rabbitmq", {"url": vhost.url}), ("s3", keys))
    ]


@pytest.fixture
def archive(
    operator: Operator, namespace: str, cluster_database: str, cluster_vhost: Vhost, cluster_s3: S3Server
) -> Iterator[tuple[Pool, str]]:
    """The pool, asleep and Ready, and the name of its bucket."""
    tables = Tables(cluster_database)
    make_table(tables)
    queues = RabbitmqQueues(cluster_vhost, tables)
    bucket = cluster_s3.create_bucket()
    body = manifest(queues.source("raw_sessions"), bucket)
    operator.cluster.apply([*secrets(cluster_vhost, cluster_s3), body], namespace)
    pool = Pool(operator.cluster, namespace, body["metadata"]["name"], "raw_sessions", tables, queues)
    until(lambda: pool.condition("Ready").get("status") == "True", 60, pool.story)
    yield pool, bucket
    operator.cluster.kubectl("delete", "workerpools", "--all", f"--namespace={namespace}", "--ignore-not-found")


def test_every_session_becomes_an_object(archive: tuple[Pool, str], cluster_vhost: Vhost, cluster_s3: S3Server) -> None:
    pool, bucket = archive
    assert pool.size() == 0
    sessions = [{"user_id": f"user_{n % 7}", "session_uuid": str(uuid4()), "n": n} for n in range(SESSIONS)]
    pool.jobs.enqueue(pool.queue, sessions)
    until(lambda: pool.size() == 2, 60, pool.story)
    until(lambda: len(cluster_s3.objects(bucket)) == SESSIONS, 120, pool.story)
    pool.wait_asleep(90)
    wanted = {f"sessions/{one['user_id']}/{one['session_uuid']}.json": one for one in sessions}
    assert {key: json.loads(body) for key, body in cluster_s3.objects(bucket).items()} == wanted
    until(lambda: pool.jobs.unfinished() == 0, 30, pool.story)
    assert cluster_vhost.api("GET", f"queues/{{}}/{pool.queue}.dead").get("messages") == 0
    told = [message for _, message in pool.events()]
    assert [words for words in told if cluster_s3.secret_key in words] == []
