"""Side-by-side benchmarks: WorkerPool and other Postgres job queues, one machine, one server, one run."""
