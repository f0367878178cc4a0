"""What the API server of a test cluster writes down."""

from typing import Any


def audit_policy(admin: str) -> dict[str, Any]:
    """The requests of the tests' own ServiceAccounts, and of the administrator ``admin``, who may impersonate one."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "Metadata", "users": [admin]},
            {"level": "None"},
        ],
    }
