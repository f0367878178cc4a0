"""Backlogs of queues on a RabbitMQ broker.

What is asked, in the order of trust: the queues themselves by AMQP (ready and consumers, at once), the runners' own
reports (what they hold), the management API (the rest; its counts lag), and the Prometheus page in its place.
"""
