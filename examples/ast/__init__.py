"""The demo: one job per source file of Python's standard library, parsed by a pool that comes from 0 and goes back."""
