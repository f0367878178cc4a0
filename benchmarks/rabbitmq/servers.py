"""The broker and the S3 server that all contenders share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.rabbitmq.sessions import USER
from tests.support.rabbitmq import DURABLE, Broker, throw_away_broker
from tests.support.s3 import REGION, S3Server, s3_binary, throw_away_s3


@dataclass(frozen=True)
class Servers:
    """A running RabbitMQ, and a running versitygw: its objects are files, its log has a line per request."""

    broker: Broker
    s3: S3Server

    def about(self) -> dict[str, Any]:
        """The broker's versions."""
        overview = self.broker.api("GET", "overview")
        return {"rabbitmq": overview["rabbitmq_version"], "erlang": overview["erlang_version"]}

    def create_bucket(self) -> str:
        """The name of a new bucket."""
        bucket = f"bench-{uuid4().hex[:8]}"
        (self._buckets / bucket).mkdir()
        return bucket

    def access(self, bucket: str) -> dict[str, str]:
        """What a contender's program has to know to use the bucket."""
        keys = {"access_key": self.s3.access_key, "secret_key": self.s3.secret_key}
        return {"endpoint": self.s3.endpoint, "region": REGION, "bucket": bucket, **keys}

    def objects(self, bucket: str) -> Path:
        """Where the sessions of the bucket are."""
        return self._buckets / bucket / "sessions" / USER

    def puts(self, bucket: str) -> int:
        """How many times an object was put there with success."""
        with self.s3.log.open(encoding="utf-8") as lines:
            mine = (line for line in lines if f" {bucket} [" in line)
            return sum(" s3_PutObject " in line and " 200 " in line for line in mine)

    @property
    def _buckets(self) -> Path:
        return self.s3.home / "objects"


@contextmanager
def throw_away() -> Iterator[Servers]:
    """Both servers, fresh, on loopback; removed afterwards. The broker waits for the disk, as in production."""
    with throw_away_broker(erlang=DURABLE) as broker, throw_away_s3(s3_binary(), logged=True) as s3:
        yield Servers(broker, s3)
