"""Which acknowledgements to send: one for the contiguous finished prefix, single ones for the rest. Pure.

Delivery tags of a channel count from 1. An acknowledgement of several never passes a message that is unfinished.
"""

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_ACK: Final = struct.Struct(">BHIHHQBB")
_METHOD, _PAYLOAD, _BASIC, _ACK_METHOD, _END = 1, 13, 60, 80, 0xCE


class Ack(NamedTuple):
    """One acknowledgement: of ``tag``, or with ``multiple`` of everything outstanding up to it."""

    tag: int
    multiple: bool


@dataclass(slots=True)
class Acks:
    """The acknowledgements of one channel."""

    _floor: int = 0
    _gone: set[int] = field(default_factory=set)
    _done: set[int] = field(default_factory=set)

    def done(self, tag: int) -> None:
        """This message is finished; to be acknowledged by the next ``take``."""
        self._done.add(tag)

    def gone(self, tag: int) -> None:
        """This message was given back: nothing is to be said of it any more."""
        self._gone.add(tag)

    def take(self) -> list[Ack]:
        """What to send now; it counts as sent."""
        done, gone, floor = self._done, self._gone, self._floor
        if not done:
            return []
        last = covered = 0
        while True:
            floor += 1
            if floor in done:
                done.discard(floor)
                last = floor
                covered += 1
            elif floor in gone:
                gone.discard(floor)
            else:
                break
        self._floor = floor - 1
        acks = [Ack(last, covered > 1)] if covered else []
        if done:
            acks += [Ack(tag, multiple=False) for tag in sorted(done)]
            gone |= done
            done.clear()
        return acks


def ack_frames(channel: int, acks: list[Ack]) -> bytes:
    """The frames of basic.ack for these, ready to be written to the connection."""
    return b"".join(
        _ACK.pack(_METHOD, channel, _PAYLOAD, _BASIC, _ACK_METHOD, tag, multiple, _END) for tag, multiple in acks
    )
