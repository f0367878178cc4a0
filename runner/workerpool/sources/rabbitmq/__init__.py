"""The RabbitMQ engine: quorum queues, with nothing but the broker."""
