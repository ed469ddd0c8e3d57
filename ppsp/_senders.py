"""The channels that have chunks to send: they take turns, under one limit of octets a second."""

from collections.abc import Iterator

from ppsp._bucket import TokenBucket
from ppsp._channel import Channel
from ppsp._limits import BURST_CHUNKS, FLUSH_CHUNKS
from ppsp.ports import Datagram


class Senders:
    """The line of channels; `limit` is that of all of them together."""

    def __init__(self, upload_rate: float | None) -> None:
        """ValueError unless the rate, in octets a second, is positive or None."""
        self.limit = TokenBucket(upload_rate)
        self._line: dict[Channel, None] = {}

    def __bool__(self) -> bool:
        return bool(self._line)

    def add(self, channel: Channel) -> None:
        """The channel has chunks to send."""
        self._line[channel] = None

    def discard(self, channel: Channel) -> None:
        """The channel is closed."""
        self._line.pop(channel, None)

    @property
    def due(self) -> float | None:
        """When a channel that the limit held up may go on; None when there is none."""
        return self.limit.due if self._line else None

    def take(self, timestamp_us: int, now: float) -> Iterator[tuple[Channel, list[Datagram] | OSError]]:
        """What the channels send now, each at most once, or why the store of one gives back no chunks."""
        room = FLUSH_CHUNKS
        for channel in list(self._line):
            size, upload = channel.swarm.content.chunk_size, channel.upload
            most = min(room, self._allowance(size, now))
            if most <= 0:
                break
            # To the end of the line: the next call goes on with the others.
            del self._line[channel]
            before = upload.octets_sent
            try:
                datagrams = upload.datagrams(channel.remote_id, timestamp_us, most, now)
            except OSError as exc:
                upload.forget()
                yield channel, exc
                continue
            spent = upload.octets_sent - before
            self.limit.spend(spent)
            room -= max(len(datagrams), spent // size)
            if upload.ready:
                self._line[channel] = None
            yield channel, datagrams

    def _allowance(self, chunk_size: int, now: float) -> int:
        """Chunks that the upload rate lets one channel send now."""
        share = self.limit.chunks(chunk_size, now)
        if share is None:
            return BURST_CHUNKS
        return max(1, share // len(self._line)) if share else 0
