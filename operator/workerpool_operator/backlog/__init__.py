"""Readers of backlogs, one module per kind of source."""
