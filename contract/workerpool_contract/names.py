"""Every string that two processes, or code and documentation, must spell alike: each of them once, here."""

from typing import Final

API_GROUP: Final = "workerpool.dev"
API_VERSION: Final = "v1"
API_GROUP_VERSION: Final = f"{API_GROUP}/{API_VERSION}"
KIND: Final = "WorkerPool"
PLURAL: Final = "workerpools"
SINGULAR: Final = "workerpool"
SHORT_NAME: Final = "wp"

# What the operator signs its writes with, and how its objects are found again.
MANAGER: Final = "workerpool-operator"
STATUS_MANAGER: Final = "workerpool-operator-status"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_POOL: Final = f"{API_GROUP}/pool"
ANNOTATION_SECRET_VERSION: Final = f"{API_GROUP}/secret-version"
ANNOTATION_SECRET_SEEN: Final = f"{API_GROUP}/secret-seen"
ANNOTATION_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
CONTAINER: Final = "runner"

# Entry-point groups: the command line and the local platform find their parts without importing each other.
COMMANDS_GROUP: Final = "workerpool.commands"
DATABASES_GROUP: Final = "workerpool.local_databases"

# Environment of a runner process (contract/environment.py maps the spec to these and back).
ENV_URL: Final = "WORKERPOOL_URL"
ENV_APP: Final = "WORKERPOOL_APP"
ENV_BUILTIN: Final = "WORKERPOOL_BUILTIN"
ENV_WORKERS: Final = "WORKERPOOL_WORKERS"
ENV_POOL: Final = "WORKERPOOL_POOL"
ENV_QUEUE: Final = "WORKERPOOL_QUEUE"
ENV_WORKER_ID: Final = "WORKERPOOL_WORKER_ID"
ENV_CONCURRENCY: Final = "WORKERPOOL_CONCURRENCY"
ENV_PROCESSES: Final = "WORKERPOOL_PROCESSES"
ENV_JOB_TIMEOUT: Final = "WORKERPOOL_JOB_TIMEOUT_SECONDS"
ENV_DRAIN_TIMEOUT: Final = "WORKERPOOL_DRAIN_TIMEOUT_SECONDS"
ENV_MAX_RETRIES: Final = "WORKERPOOL_MAX_RETRIES"
ENV_RETRY_BACKOFF: Final = "WORKERPOOL_RETRY_BACKOFF"
ENV_RETRY_INITIAL_DELAY: Final = "WORKERPOOL_RETRY_INITIAL_DELAY_SECONDS"
ENV_RETRY_MAX_DELAY: Final = "WORKERPOOL_RETRY_MAX_DELAY_SECONDS"
ENV_PROBE_HOST: Final = "WORKERPOOL_PROBE_HOST"
ENV_PROBE_PORT: Final = "WORKERPOOL_PROBE_PORT"
ENV_POSTGRES_MODE: Final = "WORKERPOOL_POSTGRES_MODE"
ENV_RABBITMQ_HOST: Final = "WORKERPOOL_RABBITMQ_HOST"
ENV_RABBITMQ_PORT: Final = "WORKERPOOL_RABBITMQ_PORT"
ENV_RABBITMQ_VHOST: Final = "WORKERPOOL_RABBITMQ_VHOST"
ENV_RABBITMQ_USERNAME: Final = "WORKERPOOL_RABBITMQ_USERNAME"
ENV_RABBITMQ_PASSWORD: Final = "WORKERPOOL_RABBITMQ_PASSWORD"  # noqa: S105 - a name
ENV_RABBITMQ_TLS: Final = "WORKERPOOL_RABBITMQ_TLS"
ENV_RABBITMQ_CA_FILE: Final = "WORKERPOOL_RABBITMQ_CA_FILE"
ENV_RABBITMQ_DELIVERY_LIMIT: Final = "WORKERPOOL_RABBITMQ_DELIVERY_LIMIT"
ENV_RABBITMQ_MANAGEMENT_URL: Final = "WORKERPOOL_RABBITMQ_MANAGEMENT_URL"
ENV_POLL_INTERVAL: Final = "WORKERPOOL_POLL_INTERVAL_SECONDS"
ENV_LEASE: Final = "WORKERPOOL_LEASE_SECONDS"
ENV_HISTORY_RETENTION: Final = "WORKERPOOL_HISTORY_RETENTION_SECONDS"
ENV_MAX_CRASHES: Final = "WORKERPOOL_MAX_CRASHES"
ENV_MAX_PAYLOAD: Final = "WORKERPOOL_MAX_PAYLOAD_BYTES"
ENV_LOG_FORMAT: Final = "WORKERPOOL_LOG_FORMAT"
ENV_LOG_LEVEL: Final = "WORKERPOOL_LOG_LEVEL"
ENV_LOG_FILE: Final = "WORKERPOOL_LOG_FILE"
ENV_TEMP_DIR: Final = "WORKERPOOL_TEMP_DIR"
ENV_STATE_DIR: Final = "WORKERPOOL_STATE_DIR"

# Probe endpoints of a runner (and the port the certification worker used before).
PROBE_PORT: Final = 3002
PATH_LIVE: Final = "/live"
PATH_READY: Final = "/ready"
PATH_HEALTH: Final = "/health"
PATH_METRICS: Final = "/metrics"

# Postgres engine.
SCHEMA: Final = "workerpool"
NOTIFY_CHANNEL: Final = "workerpool"
