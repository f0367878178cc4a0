"""What operator and runner must agree on: names, models, environment, job shapes and backlog readings."""
