"""One channel: the conversation with one peer about one swarm (RFC 7574 sections 3.1.1, 3.11 and 3.12)."""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from ppsp import _limits
from ppsp._download import Download
from ppsp._handshake import initiating_options, problem_with, replying_options
from ppsp._ranges import RangeSet
from ppsp._upload import Upload
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
    Unchoke,
)
from ppsp.options import ProtocolOptions
from ppsp.ports import Address, CongestionController, Datagram

if TYPE_CHECKING:
    from ppsp._swarm import Swarm

# The largest control message, an ACK of 64-bit chunk ranges, has 25 octets.
_MESSAGES_A_DATAGRAM = (_limits.MAX_DATAGRAM - 4) // 25


class State(Enum):
    """Where the three-way handshake stands."""

    OPENING = "we sent the first HANDSHAKE"
    HALF_OPEN = "we answered one, and nothing with our channel ID has come yet"
    OPEN = "both sides know that the other really responds"
    CLOSED = "no more is sent or read"


class Channel:
    """A pure state machine; `Swarm` decides what to request and `Endpoint` when to send."""

    def __init__(self, swarm: "Swarm", address: Address, channel_id: int, controller: CongestionController) -> None:
        self.swarm = swarm
        self.address = address
        self.channel_id = channel_id
        self.remote_id = 0
        self.state = State.OPENING
        self.initiated = True
        self.armed: float | None = None
        self.peer_have = RangeSet(max_ranges=_limits.MAX_HAVE_RANGES)
        self.upload = Upload(swarm.content, swarm.codec, controller, self.peer_have)
        self.download = Download(swarm.content.chunk_size)
        self.opened_at = self.last_received = self.last_sent = self.last_looked = 0.0
        self._created_at = 0.0
        self._supported: frozenset[int] | None = None
        self._peer_options = ProtocolOptions()
        self._unanswered = 0
        self.tries = 0
        self._handshake_due = False
        self._answer_room = 0
        self._must_send = False
        self._outgoing: list[Message] = []
        self._news: list[tuple[int, int]] = []
        self._news_since = 0.0
        self._news_count = 0
        # What the datagram being read has brought so far.
        self._hashes: dict[tuple[int, int], bytes] = {}
        self._acked: list[tuple[int, int]] = []
        self._delays: list[int] = []

    # Opening

    def open(self, now: float) -> None:
        """Start the handshake."""
        self._created_at = self.last_received = self.last_sent = now
        self._handshake_due = True

    def answer(self, handshake: Handshake, length: int, now: float) -> None:
        """Take the first HANDSHAKE of a peer, which came in a datagram of `length` octets, and answer it."""
        self.state = State.HALF_OPEN
        self.initiated = False
        self.remote_id = handshake.source_channel
        self._peer_options = handshake.options
        self._supported = handshake.options.supported_messages
        self._created_at = self.last_received = self.last_sent = now
        self.answer_again(length)

    def answer_again(self, length: int) -> None:
        """The first HANDSHAKE came again: its answer was lost (section 8.2: no second channel)."""
        self._handshake_due = True
        self._answer_room = length

    def _establish(self, now: float) -> None:
        self.state = State.OPEN
        self.opened_at = now
        self._must_send = True
        for start, stop in self.swarm.content.have:
            self.add_news(start, stop, now)
        self.swarm.established(self, now)

    # Receiving

    def receive(self, data: bytes | memoryview, offset: int, now: float) -> str | None:
        """Read the messages of a datagram from `offset` on; returns why the rest of it was dropped, if it was."""
        if self.state is State.HALF_OPEN and offset == 4:
            # "any datagram … that does contain the channel ID chanQ" completes the handshake (section 3.1.1 step 7).
            self._establish(now)
        self.last_received = now
        self._unanswered = 0
        messages, error = self.swarm.codec.decode(data, offset)
        reason = self._act_on(messages, now)
        if self._acked:
            acked, self._acked = self._acked, []
            delays, self._delays = self._delays, []
            self.upload.on_acks(acked, delays, now)
        elif self._delays:
            self._delays = []
        if self._hashes:
            hashes, self._hashes = self._hashes, {}
            if not any(type(message) is Data for message in messages):
                self.download.keep_hashes(hashes)
        return reason or (str(error) if error else None)

    def _act_on(self, messages: Sequence[Message], now: float) -> str | None:
        for message in messages:
            action = _TABLE[self.state].get(type(message))
            if action is None:
                return f"{type(message).__name__} while {self.state.name}"
            reason = action(self, message, now)
            if reason is not None:
                return reason
        return None

    def _accept_reply(self, message: Handshake, now: float) -> str | None:
        swarm = self.swarm
        if message.source_channel == 0:
            swarm.drop(self, "the peer closed the channel", now, tell=False)
            return None
        problem = problem_with(message.options, swarm.content.metadata, initiating=False, strict=swarm.strict)
        self.remote_id = message.source_channel
        if problem is not None:
            swarm.drop(self, f"the peer's HANDSHAKE has {problem}", now, tell=True)
            return problem
        self._supported = message.options.supported_messages
        self._establish(now)
        return None

    def _repeated_or_closing(self, message: Handshake, now: float) -> str | None:
        if message.source_channel == 0:
            self.swarm.drop(self, "the peer closed the channel", now, tell=False)
        elif message.source_channel != self.remote_id:
            return "HANDSHAKE with another channel ID on an open channel"
        return None

    def _have(self, message: Have, now: float) -> str | None:
        for start, stop in self.swarm.peer_has(self, message.start, message.end + 1):
            self.upload.peer_has(start, stop, now)
        return None

    def _ack(self, message: Ack, now: float) -> str | None:
        parts = self.swarm.peer_has(self, message.start, message.end + 1)
        if parts or self._acked:
            self._acked += parts
            self._delays.append(message.delay_us)
        return None

    def _integrity(self, message: Integrity, now: float) -> str | None:
        self._hashes[message.start, message.end] = message.hash
        return None

    def _data(self, message: Data, now: float) -> str | None:
        return self.swarm.received(self, message, self._hashes, now)

    def _request(self, message: Request, now: float) -> str | None:
        self.upload.request(message.start, message.end + 1)
        return None

    def _cancel(self, message: Cancel, now: float) -> str | None:
        self.upload.cancel(message.start, message.end + 1)
        return None

    def _choke(self, message: Choke, now: float) -> str | None:
        self.download.choked = True
        self.swarm.give_back(self.download.give_up())
        return None

    def _unchoke(self, message: Unchoke, now: float) -> str | None:
        self.download.choked = False
        self.download.idle = False
        return None

    def _pass_over(self, message: Message, now: float) -> str | None:
        return None

    # Sending

    def add_news(self, start: int, stop: int, now: float) -> None:
        """These chunks have become available here: a HAVE for them is due soon (section 3.2)."""
        if not self._news:
            self._news_since = now
        self._news.append((start, stop))
        self._news_count += stop - start

    def send(self, messages: Iterable[Message]) -> None:
        """Messages for the next datagram."""
        self._outgoing += messages

    def flush(self, now: float) -> list[Datagram]:
        """The datagrams that are due, without DATA."""
        datagrams: list[Datagram] = []
        if self._handshake_due:
            self._handshake_due = False
            datagrams.append(self._handshake())
        if self.state is State.OPEN:
            datagrams += self._control(now)
        if datagrams:
            self.sent(len(datagrams), now)
        return datagrams

    def sent(self, datagrams: int, now: float) -> None:
        """Take note that so many datagrams leave."""
        self.last_sent = now
        self._unanswered += datagrams
        self._must_send = False

    def _handshake(self) -> bytes:
        swarm = self.swarm
        if self.initiated:
            self.tries += 1
            return swarm.codec.encode(0, [Handshake(self.channel_id, initiating_options(swarm.content.metadata))])
        options = replying_options(swarm.content.metadata, self._peer_options)
        messages: list[Message] = [Handshake(self.channel_id, options)]
        datagram = swarm.codec.encode(self.remote_id, messages)
        for start, stop in islice(swarm.content.have, _limits.MAX_HANDSHAKE_HAVES):
            messages.append(Have(start, stop - 1))
            longer = swarm.codec.encode(self.remote_id, messages)
            if len(longer) > self._answer_room:
                break  # the address may be spoofed: never send more than came (section 12.1)
            datagram = longer
        return datagram

    def closing(self) -> bytes | None:
        """The datagram that tells the peer that the channel is closed; None before its channel ID is known."""
        return self.swarm.codec.encode(self.remote_id, [Handshake(0)]) if self.remote_id else None

    def _control(self, now: float) -> list[Datagram]:
        messages: list[Message] = [*self.download.acks(self.swarm.content.have)]
        if self._news and (messages or self._outgoing or self._must_send or now >= self._news_at()):
            messages += self._haves()
        messages += self._outgoing
        self._outgoing = []
        if self._supported is not None:
            messages = [message for message in messages if message.message_type in self._supported]
        encode = self.swarm.codec.encode
        step = _MESSAGES_A_DATAGRAM
        if not messages:
            return [self.remote_id.to_bytes(4, "big")] if self._must_send else []
        return [encode(self.remote_id, messages[at : at + step]) for at in range(0, len(messages), step)]

    def _news_at(self) -> float:
        at = self._news_since
        return at if self._news_count >= _limits.HAVE_BATCH else at + _limits.HAVE_DELAY_SECONDS

    def _haves(self) -> list[Message]:
        """A HAVE for the biggest complete interval around each piece of news that the peer lacks (section 4.3.1)."""
        news, self._news, self._news_count = self._news, [], 0
        have, peer_have = self.swarm.content.have, self.peer_have
        spans: dict[tuple[int, int], None] = {}
        start = stop = -1
        for first, end in news:
            if start <= first < stop or peer_have.covers(first, end):
                continue
            covering = have.covering(first)
            if covering is not None:
                start, stop = covering
                spans[covering] = None
        return [Have(first, last - 1) for first, last in spans]

    # Time

    def deadline(self) -> float | None:
        """When `handle_timer` is due."""
        if self.state is State.OPENING:
            return min(self._retry_at(), self._created_at + _limits.CONNECT_SECONDS)
        if self.state is State.HALF_OPEN:
            return self._created_at + _limits.HALF_OPEN_SECONDS
        if self.state is State.CLOSED:
            return None
        deadline = min(self.last_sent + _limits.KEEP_ALIVE_SECONDS, self._dead_at())
        if self._news:
            deadline = min(deadline, self._news_at())
        for other in (self.upload.deadline(), self.download.lapses_at(), self.swarm.looks_again_at(self)):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def _retry_at(self) -> float:
        return self.last_sent + (1 << max(self.tries - 1, 0)) if self.tries else self._created_at

    def _dead_at(self) -> float:
        if self._unanswered >= _limits.DEAD_DATAGRAMS:
            return self.last_received + _limits.DEAD_SECONDS
        return self.last_sent + _limits.DEAD_SECONDS

    def handle_timer(self, now: float) -> None:
        """Do what is due; the datagrams of it come from `flush`."""
        if self.state is State.OPENING:
            if now >= self._created_at + _limits.CONNECT_SECONDS:
                self.swarm.drop(self, "the peer does not answer", now, tell=False)
            elif now >= self._retry_at():
                self._handshake_due = True
        elif self.state is State.HALF_OPEN:
            if now >= self._created_at + _limits.HALF_OPEN_SECONDS:
                self.swarm.drop(self, "the handshake was not completed", now, tell=False)
        elif self.state is State.OPEN:
            self._handle_open_timer(now)

    def _handle_open_timer(self, now: float) -> None:
        if now >= self._dead_at() and self._unanswered >= _limits.DEAD_DATAGRAMS:
            self.swarm.drop(self, "the peer is dead: nothing came for three minutes", now, tell=False)
            return
        self.upload.handle_timer(now)
        self.download.idle = False
        lapses_at = self.download.lapses_at()
        if lapses_at is not None and now >= lapses_at:
            self.swarm.lapsed(self, now)
        if now >= self.last_sent + _limits.KEEP_ALIVE_SECONDS:
            self._must_send = True


_Action = Callable[[Channel, Any, float], str | None]

# What each state takes; everything absent is refused in `_act_on`, with the rest of its datagram.
_TABLE: dict[State, dict[type[Message], _Action]] = {
    State.OPENING: {Handshake: Channel._accept_reply},
    # Behind the first HANDSHAKE, minor payload only (section 3.1.1 step 1).
    State.HALF_OPEN: {
        Have: Channel._have,
        Request: Channel._request,
        Cancel: Channel._cancel,
        Choke: Channel._choke,
        Unchoke: Channel._unchoke,
        PexReq: Channel._pass_over,
    },
    State.OPEN: {
        Handshake: Channel._repeated_or_closing,
        Data: Channel._data,
        Ack: Channel._ack,
        Have: Channel._have,
        Integrity: Channel._integrity,
        Request: Channel._request,
        Cancel: Channel._cancel,
        Choke: Channel._choke,
        Unchoke: Channel._unchoke,
        # "peers MAY ignore PEX_REQ and PEX_REScert messages if uninterested" (section 3.10.1); the HANDSHAKE says so.
        PexReq: Channel._pass_over,
        PexResV4: Channel._pass_over,
        PexResV6: Channel._pass_over,
        PexResCert: Channel._pass_over,
    },
    State.CLOSED: {},
}
