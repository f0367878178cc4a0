"""Side-by-side benchmark on RabbitMQ: WorkerPool, other worker frameworks and bare client libraries on one broker."""
