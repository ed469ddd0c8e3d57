"""The codec on whatever octets and messages Hypothesis thinks of."""

from bisect import bisect
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from ppsp._addressing import LAYOUT
from ppsp.codec import Codec, channel_of, decode_handshake
from ppsp.constants import HASH_SIZE, ChunkAddressing
from ppsp.errors import DecodeError
from ppsp.messages import (
    Ack,
    Cancel,
    Choke,
    Data,
    Handshake,
    Have,
    Integrity,
    Message,
    PexReq,
    PexResCert,
    PexResV4,
    PexResV6,
    Request,
    SignedIntegrity,
    Unchoke,
)
from ppsp.options import ProtocolOptions

CHUNK_SIZE = 16

u64 = st.integers(0, 2**64 - 1)
codecs = st.builds(
    Codec,
    st.sampled_from(ChunkAddressing),
    st.sampled_from(sorted(HASH_SIZE.values())),
    st.sampled_from([64, 96, 128, 256]),
    st.just(CHUNK_SIZE),
)


def ranges(codec: Codec) -> st.SearchStrategy[tuple[int, int]]:
    """Chunk specifications that the codec's addressing method can denote."""
    layout = LAYOUT[codec.chunk_addressing]
    if not layout.bins:
        value = st.integers(0, layout.limit) | st.sampled_from([0, 1, layout.limit - 1, layout.limit])
        return st.tuples(value, value).map(lambda pair: (min(pair), max(pair)))
    chunks = layout.limit + 1
    layers = st.integers(0, chunks.bit_length() - 1)
    nodes = layers.flatmap(lambda layer: st.tuples(st.just(layer), st.integers(0, (chunks >> layer) - 1)))
    return nodes.map(lambda node: (node[1] << node[0], (node[1] + 1 << node[0]) - 1))


def specified(cls: type, codec: Codec, *rest: st.SearchStrategy) -> st.SearchStrategy[Message]:
    return st.tuples(ranges(codec), *rest).map(lambda drawn: cls(*drawn[0], *drawn[1:]))


def data_messages(codec: Codec, payload: st.SearchStrategy[bytes]) -> st.SearchStrategy[Message]:
    limit = LAYOUT[codec.chunk_addressing].limit

    def build(chunk: int, timestamp_us: int, octets: bytes) -> Data:
        if codec.chunk_addressing is ChunkAddressing.BYTE64:
            start = chunk // CHUNK_SIZE * CHUNK_SIZE
            return Data(start, start + len(octets) - 1, timestamp_us, octets)
        return Data(chunk, chunk, timestamp_us, octets)

    return st.builds(build, st.integers(0, limit), u64, payload)


def light_messages(codec: Codec) -> st.SearchStrategy[Message]:
    """Every message but HANDSHAKE and DATA."""
    return st.one_of(
        specified(Have, codec),
        specified(Request, codec),
        specified(Cancel, codec),
        specified(Ack, codec, u64),
        specified(Integrity, codec, st.binary(min_size=codec.hash_size, max_size=codec.hash_size)),
        specified(SignedIntegrity, codec, u64, st.binary(min_size=codec.signature_size, max_size=codec.signature_size)),
        st.sampled_from([Choke(), Unchoke(), PexReq()]),
        st.builds(PexResV4, st.binary(min_size=4, max_size=4), st.integers(0, 65535)),
        st.builds(PexResV6, st.binary(min_size=16, max_size=16), st.integers(0, 65535)),
        st.builds(PexResCert, st.binary(max_size=50)),
    )


options = st.builds(
    ProtocolOptions, version=st.just(1), swarm_id=st.binary(max_size=32), chunk_size=st.integers(0, 2**32 - 1)
)


@st.composite
def datagrams(draw: st.DrawFn) -> tuple[Codec, list[Message]]:
    codec = draw(codecs)
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Handshake(draw(st.integers(1, 2**32 - 1)), draw(options)))
    full = data_messages(codec, st.binary(min_size=CHUNK_SIZE, max_size=CHUNK_SIZE))
    messages += draw(st.lists(light_messages(codec) | full, max_size=6))
    if any(isinstance(message, Data) for message in messages) or draw(st.booleans()):
        messages.append(draw(data_messages(codec, st.binary(min_size=1, max_size=CHUNK_SIZE))))
    return codec, messages


@given(datagrams(), st.integers(0, 2**32 - 1))
def test_decoding_inverts_encoding(datagram: tuple[Codec, list[Message]], channel: int) -> None:
    """Section 8: every message under every chunk addressing method."""
    codec, messages = datagram
    wire = codec.encode(channel, messages)
    assert channel_of(wire) == channel
    assert codec.decode(wire) == (messages, None)
    assert codec.decode(memoryview(wire)) == (messages, None)


@given(datagrams())
def test_a_datagram_cut_short_gives_the_messages_before_the_cut(datagram: tuple[Codec, list[Message]]) -> None:
    """Section 3: what is before an invalid message counts. A DATA, having no length, reads as a shorter chunk."""
    codec, messages = datagram
    wire = codec.encode(7, messages)
    behind = list(accumulate((len(codec.encode(7, [message])) - 4 for message in messages), initial=4))
    assert behind[-1] == len(wire)
    for size in range(4, len(wire)):
        whole = bisect(behind, size) - 1
        expected, octets = messages[:whole], size - behind[whole]
        found, error = codec.decode(wire[:size])
        cut = messages[whole]
        if error is None and octets:
            assert isinstance(cut, Data)
            assert codec.chunk_addressing is not ChunkAddressing.BYTE64
            missing = behind[whole + 1] - size
            expected = [*expected, Data(cut.start, cut.end, cut.timestamp_us, cut.payload[:-missing])]
        assert found == expected
        assert (error is None) == (not octets or found != messages[:whole])


@given(codecs, st.binary(max_size=120))
def test_any_octets_are_messages_and_perhaps_an_error(codec: Codec, octets: bytes) -> None:
    """Section 3: whatever a peer sends, decoding does not raise."""
    messages, error = codec.decode(octets)
    assert isinstance(messages, list)
    assert error is None or isinstance(error, DecodeError)


@given(codecs, st.lists(st.integers(0, 13)), st.binary(max_size=400))
def test_octets_that_look_like_messages_do_not_raise(codec: Codec, kinds: list[int], filler: bytes) -> None:
    """Section 3: as above, but each message starts with a type that exists."""
    octets = b"".join(bytes([kind]) + filler[4 * index : 4 * index + 60] for index, kind in enumerate(kinds))
    messages, error = codec.decode(bytes(4) + octets)
    assert len(messages) <= len(octets)
    assert error is None or isinstance(error, DecodeError)


@given(st.binary(max_size=60))
def test_any_octets_are_a_handshake_or_refused(octets: bytes) -> None:
    """Section 3.1.1: a HANDSHAKE on channel 0 comes from anybody."""
    try:
        handshake, end = decode_handshake(b"\0\0\0\0\0" + octets)
    except DecodeError:
        return
    assert isinstance(handshake, Handshake)
    assert end <= 5 + len(octets)
