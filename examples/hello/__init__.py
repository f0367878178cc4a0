"""The smallest pool: one handler, one manifest."""
