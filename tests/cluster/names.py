"""The environment variables that say which cluster the tests use."""

from typing import Final

ENV_PROVIDER: Final = "WORKERPOOL_TEST_CLUSTER"
"""``local``, ``kind`` or ``existing``."""
ENV_CONTEXT: Final = "WORKERPOOL_TEST_CLUSTER_CONTEXT"
"""The kubeconfig context that ``existing`` may use; no other is ever touched."""
ENV_ADDRESS: Final = "WORKERPOOL_TEST_CLUSTER_ADDRESS"
"""For ``existing``: the address of this machine at which that cluster's pods reach it."""
ENV_LOAD: Final = "WORKERPOOL_TEST_CLUSTER_LOAD"
"""For ``existing``: the command that puts an image archive, given as its last argument, on the nodes."""
ENV_ATTACH: Final = "WORKERPOOL_TEST_CLUSTER_NAME"
"""For ``local``: the running cluster to use instead of starting one, and the one that ``python -m tests.cluster`` is
about, which also sets it for what it runs inside."""
ENV_OUTSIDE: Final = "WORKERPOOL_TEST_CLUSTER_OUTSIDE"
"""A process outside of the cluster's network, for what was started inside; set by ``python -m tests.cluster run``."""
ENV_CI: Final = "CI"
"""``true`` makes a missing cluster a failure."""
