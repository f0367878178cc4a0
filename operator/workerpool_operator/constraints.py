"""The rules between fields, as CEL for the API server. The models of the contract hold the same rules. Pure.

Where a rule has ``says``, the API server evaluates it for the message, so that the values stand in it.
"""

from dataclasses import dataclass
from typing import Any

from workerpool_contract.podtemplate import GRACE_IS_DERIVED
from workerpool_contract.rabbitmq import RESERVED_PREFIXES, WILDCARD_PATTERN
from workerpool_contract.rabbitmqsource import HOST_OR_URL, MANAGEMENT_URL_TWICE, PART_NEEDS_HOST, PARTS, QUEUE_NAME
from workerpool_contract.scaling import HOLD_AT_NEEDS_REPLICAS, Scaling
from workerpool_contract.source import EXACTLY_ONE_SOURCE
from workerpool_contract.spec import APP_OR_BUILTIN, ARCHIVE_NEEDS_BUILTIN, NAMES_NEED_APP, WorkerSpec

NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MOST = f"(has(self.maxReplicas) ? self.maxReplicas : {Scaling().max_replicas})"
TIMEOUT = f"(has(self.jobTimeoutSeconds) ? self.jobTimeoutSeconds : {WorkerSpec(app='a').job_timeout_seconds})"


@dataclass(frozen=True, slots=True)
class Rule:
    """``holds``: CEL, true for good objects. ``message``: for people. ``says``: CEL for the message with values.

    ``field``: the field of the object that the message is about, as a path that begins with a dot.
    """

    holds: str
    message: str
    says: str | None = None
    field: str | None = None

    def body(self) -> dict[str, Any]:
        """The entry of x-kubernetes-validations."""
        optional = {"messageExpression": self.says, "fieldPath": self.field}
        return {
            "rule": self.holds,
            "message": self.message,
            **{key: value for key, value in optional.items() if value is not None},
        }


def _at_most(field: str, absent: str) -> Rule:
    """``field`` of spec.scaling is at most maxReplicas; ``absent`` (CEL) says when there is nothing to compare."""
    cure = f"lower {field} or raise maxReplicas"
    return Rule(
        holds=f"{absent} || self.{field} <= {MOST}",
        message=f"{field} is above maxReplicas; {cure}",
        says=f"'{field} %d is above maxReplicas %d; {cure}'.format([self.{field}, {MOST}])",
        field=f".{field}",
    )


# Path of the object that a rule belongs to -> its rules.
RULES: dict[tuple[str, ...], tuple[Rule, ...]] = {
    (): (
        Rule(
            f"size(self.metadata.name) <= 52 && self.metadata.name.matches('{NAME_PATTERN}')",
            "metadata.name must be a DNS label of at most 52 characters; choose a shorter name without dots",
        ),
    ),
    ("spec", "source"): (Rule("has(self.postgres) != has(self.rabbitmq)", EXACTLY_ONE_SOURCE),),
    ("spec", "source", "rabbitmq"): (
        Rule("!has(self.urlSecretRef) || !has(self.host)", HOST_OR_URL, field=".host"),
        *(
            Rule(f"has(self.host) || !has(self.{part})", PART_NEEDS_HOST.format(part), field=f".{part}")
            for part in PARTS.values()
        ),
        Rule(
            " && ".join(f"!self.queue.startsWith('{prefix}')" for prefix in RESERVED_PREFIXES)
            + f" && !self.queue.matches('{WILDCARD_PATTERN}')",
            QUEUE_NAME,
            field=".queue",
        ),
    ),
    ("spec", "source", "rabbitmq", "management"): (
        Rule("!has(self.url) || !has(self.urlSecretRef)", MANAGEMENT_URL_TWICE, field=".url"),
    ),
    ("spec", "worker"): (
        Rule("has(self.app) != has(self.builtin)", APP_OR_BUILTIN, field=".app"),
        Rule("!has(self.builtin) || !has(self.names) || size(self.names) == 0", NAMES_NEED_APP, field=".names"),
        Rule(
            "(has(self.builtin) && self.builtin == 's3-archive') == has(self.archive)",
            ARCHIVE_NEEDS_BUILTIN,
            field=".archive",
        ),
        Rule(
            f"!has(self.drainTimeoutSeconds) || self.drainTimeoutSeconds >= {TIMEOUT}",
            "drainTimeoutSeconds is below jobTimeoutSeconds; raise drainTimeoutSeconds or lower jobTimeoutSeconds",
            "'drainTimeoutSeconds %d is below jobTimeoutSeconds %d: a drain would cut off jobs; "
            "raise drainTimeoutSeconds or lower jobTimeoutSeconds'"
            f".format([self.drainTimeoutSeconds, {TIMEOUT}])",
            ".drainTimeoutSeconds",
        ),
    ),
    ("spec", "worker", "podTemplate", "spec"): (
        Rule("!has(self.terminationGracePeriodSeconds)", GRACE_IS_DERIVED, field=".terminationGracePeriodSeconds"),
    ),
    ("spec", "retry"): (
        Rule(
            "!has(self.initialDelaySeconds) || !has(self.maxDelaySeconds) "
            "|| self.initialDelaySeconds <= self.maxDelaySeconds",
            "initialDelaySeconds is above maxDelaySeconds; lower one or raise the other",
            "'initialDelaySeconds %d is above maxDelaySeconds %d; lower one or raise the other'"
            ".format([self.initialDelaySeconds, self.maxDelaySeconds])",
            ".initialDelaySeconds",
        ),
    ),
    ("spec", "scaling"): (
        _at_most("minReplicas", "!has(self.minReplicas)"),
        _at_most("fallback.replicas", "!has(self.fallback)"),
        _at_most("pause.replicas", "!has(self.pause) || !has(self.pause.replicas)"),
    ),
    ("spec", "scaling", "pause"): (
        Rule("(self.mode == 'HoldAt') == has(self.replicas)", HOLD_AT_NEEDS_REPLICAS, field=".replicas"),
    ),
}
