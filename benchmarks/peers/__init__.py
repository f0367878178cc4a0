"""Programs that the harness starts, one per contender, each inside the environment of its own contender."""
