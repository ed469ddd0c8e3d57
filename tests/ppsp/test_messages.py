"""The messages as values."""

from typing import get_args

import pytest

from ppsp.constants import MessageType
from ppsp.messages import Ack, Choke, Data, Handshake, Have, Message, PexReq, PexResV4, PexResV6
from ppsp.options import ProtocolOptions


def test_there_is_one_class_for_each_message_type() -> None:
    """Section 8.2."""
    assert [cls.message_type for cls in get_args(Message)] == list(MessageType)


def test_messages_with_equal_fields_are_equal() -> None:
    """Values compare by what they hold; a payload compares by its octets, whatever buffer holds them."""
    assert Have(1, 2) == Have(1, 2) != Have(1, 3)
    assert Data(0, 0, 5, b"chunk") == Data(0, 0, 5, memoryview(b"a chunk")[2:])
    assert PexReq() == PexReq() != Choke()


@pytest.mark.parametrize("cls", get_args(Message))
def test_messages_have_slots(cls: type) -> None:
    """They are made for every datagram."""
    assert not hasattr(object.__new__(cls), "__dict__")


def test_messages_match_by_position() -> None:
    """The machine takes them apart with `match`."""
    match Ack(3, 4, 100):
        case Ack(start, end, delay_us):
            assert (start, end, delay_us) == (3, 4, 100)


def test_pex_addresses_read_as_text() -> None:
    """Section 8.13: network order."""
    assert PexResV4(bytes([192, 0, 2, 1]), 6778).host == "192.0.2.1"
    assert PexResV6(bytes.fromhex("20010db8000000000000000000000001"), 6778).host == "2001:db8::1"


def test_a_closing_handshake_has_no_options_unless_given() -> None:
    """Section 8.4."""
    assert Handshake(0).options == ProtocolOptions()
