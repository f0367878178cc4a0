"""Programs that the harness starts, one per contender on RabbitMQ, each inside the environment of its own contender."""
