"""The sending half of a channel where chunks differ in size (RFC 7574 section 7.11).

A DATA has no length on the wire, so that each of them ends its datagram (section 8.6); and only when a chunk is sent is
it known how much of the congestion window it takes.
"""

from typing import TYPE_CHECKING

from ppsp._content import Content
from ppsp._limits import BURST_CHUNKS
from ppsp._live_upload import LiveUpload
from ppsp._upload import Upload
from ppsp.ports import Datagram

if TYPE_CHECKING:
    from ppsp._live_content import LiveContent


class _OneByOne(Upload):
    """Looks at the window before every chunk: it is exceeded by less than a chunk."""

    __slots__ = ()

    def datagrams(self, channel: int, timestamp_us: int, most: int, now: float) -> list[Datagram]:
        """As `Upload.datagrams`."""
        out: list[Datagram] = []
        for _ in range(min(most, BURST_CHUNKS)):
            more = super().datagrams(channel, timestamp_us, 1, now)
            if not more:
                break
            out += more
        return out


class VariableUpload(_OneByOne):
    """Serves one peer's requests for static content."""

    __slots__ = ()

    def _run_datagrams(
        self, channel: int, timestamp_us: int, run: tuple[int, int], resent: bool, out: list[Datagram]
    ) -> int:
        content = self._content
        assert isinstance(content, Content)
        chunk = run[0]
        payload = content.read(*run)
        told, left, right = self._known_around(*run, resent)
        hashes = content.tree.uncles(chunk, left=left, right=right)
        limit = self._integrity_limit(len(payload))
        if len(hashes) > limit or not told:
            hashes = self._send_ahead(channel, hashes, limit, out, peaks=not told)
        out.append((self._codec.data_header(channel, chunk, chunk, timestamp_us, hashes), payload))
        return len(payload)


class VariableLiveUpload(_OneByOne, LiveUpload):
    """Serves one peer's requests for a live stream."""

    __slots__ = ()


def upload_of(content: "Content | LiveContent") -> type[Upload]:
    """The kind of upload that a swarm has."""
    is_live, is_variable = content.metadata.is_live, content.metadata.is_variable
    if is_live:
        return VariableLiveUpload if is_variable else LiveUpload
    return VariableUpload if is_variable else Upload
