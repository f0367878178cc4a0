"""Turns results into docs/benchmarks.md and its plot."""
