"""Where a request comes from: the socket, or a proxy that is trusted."""

import pytest

from interop.decade_server.origin import Origin, Proxies, is_loopback, networks_of

PROXY, CLIENT = ("10.0.0.1", 443), ("192.0.2.7", 0)
TRUSTED = networks_of(["10.0.0.0/8", "2001:db8::/32"])
X = Proxies(TRUSTED)
F = Proxies(TRUSTED, "forwarded")


def x(addresses: str, scheme: str | None = None):
    fields = (("X-Forwarded-For", addresses),)
    return fields if scheme is None else (*fields, ("x-forwarded-proto", scheme))


def f(value: str):
    return (("Forwarded", value),)


@pytest.mark.parametrize(
    ("proxies", "headers", "origin"),
    [
        (X, x("192.0.2.7", "https"), Origin(CLIENT, True)),
        (X, x("192.0.2.7", "HTTPS"), Origin(CLIENT, True)),
        (X, x("192.0.2.7", "http"), Origin(CLIENT, False)),
        # A proxy that does not say it has not made sure of it.
        (X, x("192.0.2.7"), Origin(CLIENT, False)),
        (X, x("192.0.2.7", "https, http"), Origin(CLIENT, False)),
        # What is left of the client's address is the client's invention.
        (X, x("127.0.0.1, 192.0.2.7", "https"), Origin(CLIENT, True)),
        (X, x("192.0.2.7, 10.9.9.9", "https"), Origin(CLIENT, True)),
        (X, x("192.0.2.7:4711, 10.9.9.9:80", "https"), Origin(CLIENT, True)),
        (X, x("10.9.9.9", "https"), Origin(("10.9.9.9", 0), True)),
        (X, (("X-Forwarded-Proto", "https"),), Origin(("unknown", 0), True)),
        (X, x("[2001:db8::2]:80, what", "https"), Origin(("what", 0), True)),
        # The field that the proxies do not write came from the client.
        (X, f("for=127.0.0.1;proto=https"), Origin(PROXY, False)),
        (F, x("127.0.0.1", "https"), Origin(PROXY, False)),
        (F, f("for=192.0.2.7;proto=https"), Origin(CLIENT, True)),
        (F, f('FOR="192.0.2.7:4711";Proto="https";by=_x'), Origin(CLIENT, True)),
        (F, f("for=127.0.0.1;proto=https, for=192.0.2.7;proto=http"), Origin(CLIENT, False)),
        (F, f('for=192.0.2.7;proto=http, for="[2001:db8::2]:80";proto=https'), Origin(CLIENT, False)),
        (F, f('for="x, for=192.0.2.7;proto=https'), Origin(CLIENT, True)),
        (F, f("proto=https"), Origin(("unknown", 0), True)),
        (X, (), Origin(PROXY, False)),
    ],
)
def test_a_trusted_proxy_says_who_asks_and_how(proxies, headers, origin):
    assert proxies.origin(PROXY, "http", headers) == origin


def test_nobody_else_is_believed():
    assert X.origin(CLIENT, "http", x("127.0.0.1", "https")) == Origin(CLIENT, False)
    assert X.origin(CLIENT, "https", x("127.0.0.1", "http")) == Origin(CLIENT, True)
    assert X.origin(None, "http", x("192.0.2.7", "https")) == Origin(None, False)
    assert Proxies().origin(PROXY, "http", x("127.0.0.1", "https")) == Origin(PROXY, False)


def test_lines_of_a_field_are_one_list():
    lines = (*x("127.0.0.1", "https"), *x("192.0.2.7", "https"))
    assert X.origin(PROXY, "http", lines) == Origin(CLIENT, True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_addresses_of_the_machine_itself(address):
    assert is_loopback(address)
    assert Origin((address, 1), False).is_safe


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "localhost", "unknown", ""])
def test_other_addresses_and_names_are_elsewhere(address):
    assert not is_loopback(address)
    assert not Origin((address, 1), False).is_safe
    assert Origin((address, 1), True).is_safe
