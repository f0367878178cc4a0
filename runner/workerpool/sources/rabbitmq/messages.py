"""Messages as aiormq delivers them, reduced to what the rest of the source looks at."""

from aiormq.abc import DeliveredMessage

from workerpool.sources.rabbitmq.envelope import NO_HEADERS, Properties


def properties_of(message: DeliveredMessage) -> Properties:
    """What came beside the body."""
    given = message.header.properties
    return Properties(
        headers=NO_HEADERS if given.headers is None else given.headers,
        content_type=given.content_type,
        content_encoding=given.content_encoding,
        message_id=given.message_id,
        timestamp=given.timestamp,
    )
