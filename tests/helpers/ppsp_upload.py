"""The sending half of a channel by itself, and who verifies what it sends."""

import hashlib

from ppsp._content import Content
from ppsp._ranges import RangeSet
from ppsp._upload import Upload
from ppsp.codec import Codec
from ppsp.constants import MerkleHashFunction
from ppsp.messages import Data, Integrity

CHANNEL = 0x01020304
MODULUS = 1 << 64


class Server:
    """An upload of a whole publication, and what it sent."""

    def __init__(self, lab, publication, *, cwnd=1 << 20, cto=1.0, have=None, **metadata):
        self.publication = publication
        self.store = lab.Store(publication.content)
        given = publication.metadata(**metadata)
        size = len(publication.content)
        self.content = Content(given, self.store, publication.tree(), have, size)
        self.codec = Codec(given.chunk_addressing, publication.hash_size, chunk_size=given.chunk_size)
        self.window = lab.FixedWindow(cwnd, cto)
        self.peer_have = RangeSet()
        self.upload = Upload(self.content, self.codec, self.window, self.peer_have)
        self.now = 10.0
        self.join = lab.joined

    def raw(self, most=1000):
        """The datagrams that leave now."""
        found = []
        while self.upload.ready and (
            sent := self.upload.datagrams(CHANNEL, int(self.now * 1e6) % MODULUS, most, self.now)
        ):
            found += [self.join(datagram) for datagram in sent]
        return found

    def send(self, most=1000):
        """The same as lists of messages."""
        found = []
        for octets in self.raw(most):
            messages, error = self.codec.decode(octets)
            assert error is None
            found.append(messages)
        return found

    def chunks(self, most=1000):
        """The chunks that leave now."""
        return [message.start for messages in self.send(most) for message in messages if isinstance(message, Data)]

    def ack(self, start, stop, delay_us=1000):
        """The peer acknowledges chunks, half-open."""
        for part in self.peer_have.add(start, stop):
            self.upload.peer_has(*part)
        self.upload.end_datagram([delay_us], self.now)

    def have(self, start, stop):
        """The peer says in a HAVE that it has chunks, half-open."""
        for part in self.peer_have.add(start, stop):
            self.upload.peer_has(*part)
        self.upload.end_datagram([], self.now)

    def tick(self):
        """Wait for the deadline and handle it."""
        due = self.upload.deadline()
        assert due is not None
        self.now = max(self.now, due)
        self.upload.handle_timer(self.now)


class Receiver:
    """Verifies what is sent with nothing but the root hash and what came: an independent section 5.2."""

    def __init__(self, publication, *, knows=()):
        self.publication = publication
        self.new = hashlib.sha1 if publication.hash_function is MerkleHashFunction.SHA1 else hashlib.sha256
        self.known = {(start, end): digest for start, end, digest in knows}
        self.verified = []

    def take(self, messages):
        """Take a datagram's messages in their order; False when a chunk cannot be verified."""
        for message in messages:
            if isinstance(message, Integrity):
                self.known.setdefault((message.start, message.end), bytes(message.hash))
            elif isinstance(message, Data):
                if not self.verify(message):
                    return False
                self.verified.append(message.start)
        return True

    def verify(self, message):
        """Climb from the chunk to the root with the hashes at hand."""
        count, height = self.publication.count, self.publication.height
        start, width = message.start, 1
        digest = self.new(message.payload).digest()
        path = {}
        for _ in range(height):
            path[start, start + width - 1] = digest
            sibling = start ^ width
            if sibling >= count:
                uncle = bytes(len(digest))
            else:
                uncle = self.known.get((sibling, sibling + width - 1))
                if uncle is None:
                    # The peaks are known by now: the rest of the way up is implied by them (section 5.6).
                    if self.known.get((start, start + width - 1)) == digest:
                        break
                    return False
            if self.known.get((start, start + width - 1)) == digest:
                break
            pair = digest + uncle if start < sibling else uncle + digest
            digest = self.new(pair).digest()
            start &= ~width
            width *= 2
        else:
            if digest != self.publication.root:
                return False
        self.known |= path
        return True
