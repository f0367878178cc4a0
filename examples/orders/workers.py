"""All workers of the shop: what a manifest names as its app."""

from examples.orders import dead_letters, etl, fan_out, saga

__all__ = ["dead_letters", "etl", "fan_out", "saga"]
