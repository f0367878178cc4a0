"""What the children of a pool depend on besides its spec, and how building them fails."""

from dataclasses import dataclass

from workerpool_contract.environment import RunnerSettings

IMAGE_MISSING = "ImageMissing"
SECRET_REF_MISSING = "SecretRefMissing"  # noqa: S105 - a reason, not a password
POD_TEMPLATE_INVALID = "PodTemplateInvalid"

IN_A_POD = RunnerSettings(log_format="json")


class Unbuildable(Exception):
    """The spec can't become children. ``reason``: a word for a condition; ``message``: field, value and cure."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The operator's side of a pool's children.

    ``uid``: of the WorkerPool object, for the owner reference. ``default_image``: runs pools that name no image.
    ``secret_version``: resourceVersions of the Secrets when what runners take from them last changed; None while
    unknown. ``secret_seen``: the newest resourceVersions at which the values were still those.
    ``base``: what a spec has no word for.
    """

    uid: str
    default_image: str | None = None
    secret_version: str | None = None
    secret_seen: str | None = None
    base: RunnerSettings = IN_A_POD
