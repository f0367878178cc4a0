"""`workerpool up`: the operator on this machine, from manifests to running pools and back."""

from workerpool_operator.up.command import up

__all__ = ["up"]
