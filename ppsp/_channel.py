"""One channel: the conversation with one peer about one swarm (RFC 7574 sections 3.1.1, 3.11 and 3.12)."""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from ppsp import _limits
from ppsp._announcing import Announcing
from ppsp._download import Download
from ppsp._handshake import initiating_options, problem_with, replying_options
from ppsp.constants import CHANNEL_ID_SIZE, MessageType
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
from ppsp.ports import Address, CongestionController, Datagram

if TYPE_CHECKING:
    from ppsp._swarm import Swarm

# The largest control message, an ACK of 64-bit chunk ranges, has 25 octets.
_MESSAGES_A_DATAGRAM = (_limits.BASE_DATAGRAM - CHANNEL_ID_SIZE) // 25
# A signed munro has at most 626 octets: SHA-512, a signature of 4096 bits, 64-bit chunk ranges.
_MESSAGES_BESIDE_PROOF = 22


class State(Enum):
    """Where the three-way handshake stands."""

    OPENING = "we sent the first HANDSHAKE"
    HALF_OPEN = "we answered one, and nothing with our channel ID has come yet"
    OPEN = "both sides know that the other really responds"
    CLOSED = "no more is sent or read"

    # That of an Enum is a function in Python, and every message looks its state up.
    __hash__ = object.__hash__


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
        self.peer_have = swarm.offers.new()
        self.upload = swarm.new_upload(controller, self.peer_have)
        self.download = Download(swarm.content.segment_size)
        self.opened_at = self.last_received = self.last_sent = self.last_looked = 0.0
        self._created_at = 0.0
        # Whether we choke the peer; whether its last UNCHOKE has arrived, as a REQUEST shows.
        self.choking = False
        self.heard_unchoke = True
        # The peer that named this one by PEX.
        self.found_by: Address | None = None
        # Chunks that the peer of a live swarm keeps before its last one (section 7.9).
        self.peer_window: int | None = None
        self._supported: frozenset[int] | None = None
        self._peer_options = ProtocolOptions()
        self._unanswered = 0
        self._invalid = 0
        self.tries = 0
        self._handshake_due = False
        self._answer_room = 0
        self._must_send = False
        self._outgoing: list[Message] = []
        self._apart: list[Message] = []
        self._news = Announcing(swarm.content, self.peer_have)
        # An initiator repeats its third datagram until something else than a HANDSHAKE has come.
        self._confirmed = self._asked_again = False
        self._confirm_at = 0.0
        # What the datagram being read has brought so far.
        self._hashes: dict[tuple[int, int], bytes] = {}
        self._verified = False
        self._delays: list[int] = []
        self._pieces = 0

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
        self.upload.packs = handshake.options.chunk_size is not None
        self.peer_window = handshake.options.live_discard_window
        self._created_at = self.last_received = self.last_sent = now
        self.answer_again(length, now)

    def answer_again(self, length: int, now: float) -> None:
        """The first HANDSHAKE came again: its answer was lost (section 8.2: no second channel)."""
        self._created_at = now
        self._handshake_due = True
        self._answer_room = length

    @property
    def is_open(self) -> bool:
        """Whether both sides know that the other really responds."""
        return self.state is State.OPEN

    @property
    def initiator_id(self) -> int:
        """The channel ID of the peer that sent the first HANDSHAKE."""
        return self.channel_id if self.initiated else self.remote_id

    def confirm(self) -> None:
        """Send something, so that the responder sees its channel ID (section 3.1.1 step 7)."""
        self._must_send = True

    def ask_again(self) -> None:
        """Send the first HANDSHAKE again: the peer is silent, and may have been started anew (section 8.2)."""
        self._confirmed = False
        self._handshake_due = self._asked_again = True

    def _establish(self, now: float) -> None:
        self.state = State.OPEN
        self.opened_at = now
        self._confirm_at = now + 1.0
        self._must_send = True
        self._news.add_everything(now)
        self.swarm.established(self, now)

    def _start_over(self, now: float) -> None:
        """The peer has another channel ID than before: it was started anew, and knows nothing of what was said."""
        self.swarm.forget(self)
        self.upload.start_over(now)
        self.download.choked = False
        self._news.start_over(now)

    # Receiving

    def receive(self, data: bytes | memoryview, offset: int, now: float) -> str | None:
        """Read the messages of a datagram from `offset` on; returns why the rest of it was dropped, if it was."""
        messages, error = self.swarm.codec.decode(data, offset)
        if self.state is State.HALF_OPEN and offset == CHANNEL_ID_SIZE:
            if messages and isinstance(messages[0], Handshake) and messages[0].source_channel == 0:
                self.swarm.drop(self, "the peer refused our answer", now, tell=False)
                return None
            # "any datagram … that does contain the channel ID chanQ" completes the handshake (section 3.1.1 step 7).
            self._establish(now)
        self.last_received = now
        self._unanswered = 0
        self._pieces = _limits.MAX_REQUEST_PIECES
        if not (self._confirmed and messages):
            self._hear(messages, now)
        reason = self._act_on(messages, now)
        delays, self._delays = self._delays, []
        self.upload.end_datagram(delays, now)
        if self._hashes:
            hashes, self._hashes = self._hashes, {}
            if not self._verified:
                self.download.keep_hashes(hashes)
        self._verified = False
        if error is not None:
            self._invalid += 1
            if self._invalid >= _limits.MAX_INVALID:
                self.swarm.exclude(self.address, f"it goes on sending invalid messages: {error}", now)
        return reason or (str(error) if error else None)

    def _hear(self, messages: Sequence[Message], now: float) -> None:
        """Take note of what tells whether the third datagram of the handshake arrived."""
        if self.initiated:
            self._confirmed = self._confirmed or not (messages and isinstance(messages[0], Handshake))
        elif not messages and now - self.opened_at < _limits.HALF_OPEN_SECONDS:
            self._must_send = True  # the initiator asks whether anybody is there

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
        if message.source_channel == 0:
            self.swarm.drop(self, "the peer closed the channel", now, tell=False)
            return None
        problem = self._check_reply(message, now)
        if problem is None:
            self._establish(now)
        return problem

    def _check_reply(self, message: Handshake, now: float) -> str | None:
        """Section 3.1.1 step 4: close the channel if the answer fails a check, else take what it says."""
        swarm = self.swarm
        self.remote_id = message.source_channel
        problem = problem_with(message.options, swarm.content.metadata, initiating=False, strict=swarm.strict)
        if problem is None:
            self._supported = message.options.supported_messages
            self.upload.packs = message.options.chunk_size is not None
            self.peer_window = message.options.live_discard_window
        else:
            swarm.drop(self, f"the peer's HANDSHAKE has {problem}", now, tell=True)
        return problem

    def _repeated_or_closing(self, message: Handshake, now: float) -> str | None:
        repeated = message.source_channel == self.remote_id
        if message.source_channel == 0:
            self.swarm.drop(self, "the peer closed the channel", now, tell=False)
        elif self.initiated and not self._confirmed and (repeated or self._asked_again):
            # The answer to the HANDSHAKE that was sent again, by a peer that may have forgotten its first one.
            self._must_send = True
            if not repeated:
                self._start_over(now)
            return self._check_reply(message, now)
        elif not repeated:
            return "HANDSHAKE with another channel ID on an open channel"
        return None

    def _have(self, message: Have | Ack, now: float) -> str | None:
        start, stop = message.start, message.end + 1
        for part in self.swarm.peer_has(self, start, stop) + self.upload.asked_again(start, stop):
            self.upload.peer_has(*part)
        return None

    def _ack(self, message: Ack, now: float) -> str | None:
        # Whatever the chunks: libswift's HAVE stands before its ACK, which then brings nothing new but the sample.
        self._delays.append(message.delay_us)
        return self._have(message, now)

    def _integrity(self, message: Integrity, now: float) -> str | None:
        self._hashes[message.start, message.end] = message.hash
        return None

    def _signed_integrity(self, message: SignedIntegrity, now: float) -> str | None:
        return self.swarm.signed(self, message, self._hashes, now)

    def _data(self, message: Data, now: float) -> str | None:
        reason = self.swarm.received(self, message, self._hashes, now)
        self._verified = self._verified or reason is None
        return reason

    def _request(self, message: Request, now: float) -> str | None:
        if not self.takes_chunks:
            return None
        if self.choking:
            # "Discard the unwanted REQUESTs and resend the CHOKE, assuming it got lost" (section 12.6.8).
            if Choke() not in self._outgoing:
                self._outgoing.append(Choke())
            return None
        self.heard_unchoke = True
        self._pieces -= self.upload.request(message.start, message.end + 1, self._pieces)
        return None

    def _cancel(self, message: Cancel, now: float) -> str | None:
        self.upload.cancel(message.start, message.end + 1)
        return None

    def _choke(self, message: Choke, now: float) -> str | None:
        self.download.choked = True
        self.swarm.withdraw(self)
        return None

    def _unchoke(self, message: Unchoke, now: float) -> str | None:
        self.download.choked = False
        self.download.idle = False
        return None

    def _pex_req(self, message: PexReq, now: float) -> str | None:
        self.swarm.exchange.asked(self, self.swarm.channels.values(), now)
        return None

    def _pex_res(self, message: PexResV4 | PexResV6 | PexResCert, now: float) -> str | None:
        self.swarm.exchange.told(self, message, now)
        return None

    def _pass_over(self, message: Message, now: float) -> str | None:
        return None

    # Sending

    def add_news(self, start: int, stop: int, now: float) -> None:
        """These chunks have become available here: a HAVE for them is due soon (section 3.2)."""
        self._news.add(start, stop, now)

    def send(self, messages: Iterable[Message]) -> None:
        """Messages for the next datagram."""
        self._outgoing += messages

    def send_apart(self, message: Message) -> None:
        """A large message, for a datagram of its own."""
        self._apart.append(message)

    def flush(self, now: float) -> list[Datagram]:
        """The datagrams that are due, without DATA."""
        datagrams: list[Datagram] = []
        if self._handshake_due:
            self._handshake_due = False
            datagrams.append(self._handshake())
        if self.state is State.OPEN:
            datagrams += self._control(now)
            datagrams += [self.swarm.codec.encode(self.remote_id, [message]) for message in self._apart]
            self._apart = []
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
        metadata = swarm.content.metadata
        if self.initiated:
            self.tries += 1
            return swarm.codec.encode(
                0, [Handshake(self.channel_id, initiating_options(metadata, swarm.window, swarm.exchange.messages))]
            )
        options = replying_options(metadata, self._peer_options, swarm.window, swarm.exchange.messages)
        messages: list[Message] = [Handshake(self.channel_id, options)]
        datagram = swarm.codec.encode(self.remote_id, messages)
        haves = swarm.content.have if self.understands(MessageType.HAVE) else ()
        for start, stop in islice(haves, _limits.MAX_HANDSHAKE_HAVES):
            if self.peer_have.covers(start, stop):
                continue
            messages.append(Have(start, stop - 1))
            longer = swarm.codec.encode(self.remote_id, messages)
            if len(longer) >= self._answer_room:
                break  # the address may be spoofed: send less than came (section 12.1)
            datagram = longer
        return datagram

    def understands(self, kind: MessageType) -> bool:
        """Whether the peer takes messages of this type (section 7.10)."""
        return self._supported is None or kind in self._supported

    @property
    def takes_chunks(self) -> bool:
        """Whether the peer takes all the types of messages that go with chunks."""
        return self._supported is None or self._supported.issuperset(self.swarm.serving)

    def closing(self) -> bytes | None:
        """The datagram that tells the peer that the channel is closed; None before its channel ID is known."""
        return self.swarm.codec.encode(self.remote_id, [Handshake(0)]) if self.remote_id else None

    def _control(self, now: float) -> list[Datagram]:
        messages: list[Message] = [*self.download.acks(self.swarm.content.have)]
        if self._news and (messages or self._outgoing or self._must_send or now >= self._news.due_at()):
            messages += self._news.take(now)
        messages += self._outgoing
        self._outgoing = []
        if self._supported is not None:
            messages = [message for message in messages if self.understands(message.message_type)]
        messages = list(self.swarm.codec.spread(messages))
        encode = self.swarm.codec.encode
        step = _MESSAGES_A_DATAGRAM
        if not messages and not self._must_send:
            return []
        proof = self.swarm.proof_for(self)
        if len(messages) <= _MESSAGES_BESIDE_PROOF:
            return [encode(self.remote_id, [*proof, *messages])]
        parts = [proof] if proof else []
        parts += [messages[at : at + step] for at in range(0, len(messages), step)]
        return [encode(self.remote_id, part) for part in parts]

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
        if self._unconfirmed:
            deadline = min(deadline, self._confirm_at)
        others = (
            self._news.deadline(),
            self.upload.deadline(),
            self.download.lapses_at(),
            self.swarm.looks_again_at(self),
        )
        for other in others:
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def _retry_at(self) -> float:
        if not self.tries:
            return self._created_at
        return self.last_sent + min(1 << (self.tries - 1), _limits.MAX_HANDSHAKE_GAP)

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
        if self._unconfirmed and now >= self._confirm_at:
            self._ask_whether_open(now)
        self.upload.handle_timer(now)
        self.download.idle = False
        self._news.handle_timer(now)
        lapses_at = self.download.lapses_at()
        if lapses_at is not None and now >= lapses_at:
            self.swarm.lapsed(self, now)
        if now >= self.last_sent + _limits.KEEP_ALIVE_SECONDS:
            self._must_send = True

    @property
    def _unconfirmed(self) -> bool:
        return self.initiated and not self._confirmed and self._confirm_at < self.opened_at + _limits.CONNECT_SECONDS

    def _ask_whether_open(self, now: float) -> None:
        """Repeat the third datagram after one second, three and seven; later the first, as the peer may have forgotten.

        A responder need not say anything, so its silence does not close the channel.
        """
        end = self.opened_at + _limits.HALF_OPEN_SECONDS
        if now < end:
            self._must_send = True
            self._confirm_at = min(2 * now - self.opened_at + 1.0, end)
        else:
            self._handshake_due = self._asked_again = True
            self._confirm_at = now + _limits.HALF_OPEN_SECONDS


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
        # A PEX_REQ may be asked again when the address is known not to be spoofed.
        PexReq: Channel._pass_over,
    },
    State.OPEN: {
        Handshake: Channel._repeated_or_closing,
        Data: Channel._data,
        Ack: Channel._ack,
        Have: Channel._have,
        Integrity: Channel._integrity,
        SignedIntegrity: Channel._signed_integrity,
        Request: Channel._request,
        Cancel: Channel._cancel,
        Choke: Channel._choke,
        Unchoke: Channel._unchoke,
        PexReq: Channel._pex_req,
        PexResV4: Channel._pex_res,
        PexResV6: Channel._pex_res,
        PexResCert: Channel._pex_res,
    },
    State.CLOSED: {},
}
