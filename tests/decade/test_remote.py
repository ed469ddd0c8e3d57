"""The remote server of a transfer: its origin, its redirects, and whom its token goes to."""

import base64

import pytest
from decade_server import HELLO, token
from decade_tokens import SERVER

from decade.errors import ErrorCode, RefusedError
from decade.messages import Remote
from decade.remote import MAX_URI, follow, object_uri, origin_of, read_remote, read_remote_token

SA = "https://sa.example"
TEMPLATE = SA + "/.well-known/ni/{alg}/{val}"


def code_of(call, *args):
    with pytest.raises(RefusedError) as caught:
        call(*args)
    return caught.value.code


@pytest.mark.parametrize("origin", [SA, "https://sa.example:8443", "https://192.0.2.1", "https://[2001:db8::1]:8443"])
def test_a_remote_server_is_an_https_origin_with_the_objects_where_rfc_6920_has_them(origin):
    template = origin + "/.well-known/ni/{alg}/{val}"
    assert read_remote(Remote(object_template=template), SERVER) == origin
    assert read_remote(Remote(object_template=template, server=origin, hop_limit=3), SERVER) == origin


@pytest.mark.parametrize(
    "template",
    [
        "http://sa.example/.well-known/ni/{alg}/{val}",
        "file:///.well-known/ni/{alg}/{val}",
        "https://user:pass@sa.example/.well-known/ni/{alg}/{val}",
        "https://SA.example/.well-known/ni/{alg}/{val}",
        "https://sa.example:443/.well-known/ni/{alg}/{val}",
        "https://sa.example./.well-known/ni/{alg}/{val}",
        "https://[fe80::1%25eth0]/.well-known/ni/{alg}/{val}",
        "https://sa.example\n/.well-known/ni/{alg}/{val}",
        "https://sä.example/.well-known/ni/{alg}/{val}",
        "https://sa.example:0/.well-known/ni/{alg}/{val}",
        "https://sa.example:65536/.well-known/ni/{alg}/{val}",
        "https://sa.example/o/{alg}/{val}",
        "https://sa.example/.well-known/ni/{alg}/{val}?x",
        "https://sa.example",
        "https:///.well-known/ni/{alg}/{val}",
        "https://sa.example\\@evil/.well-known/ni/{alg}/{val}",
        f"https://{'a' * 300}/.well-known/ni/{{alg}}/{{val}}",
        "/.well-known/ni/{alg}/{val}",
    ],
)
def test_any_other_template_is_refused(template):
    assert code_of(read_remote, Remote(object_template=template), SERVER) == ErrorCode.MALFORMED


def test_an_identifier_that_is_not_the_origin_is_refused():
    assert code_of(read_remote, Remote(object_template=TEMPLATE, server=SERVER), SERVER) == ErrorCode.MALFORMED


def test_ourselves_and_a_hop_limit_of_none_are_loops():
    assert code_of(read_remote, Remote(object_template=TEMPLATE), SA) == ErrorCode.LOOP_DETECTED
    assert code_of(read_remote, Remote(object_template=TEMPLATE, hop_limit=0), SERVER) == ErrorCode.LOOP_DETECTED


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("https://sc.example/x?y=1#z", "https://sc.example/x?y=1"),
        ("https://SC.example", "https://sc.example/"),
        ("//sc.example/a", "https://sc.example/a"),
        ("https://sc.example:443/a", "https://sc.example/a"),
        ("https://sc.example./a", "https://sc.example/a"),
        ("https://sc.example.:8443/a", "https://sc.example:8443/a"),
        ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
        ("/b", "https://sa.example/b"),
        ("c%20d", "https://sa.example/.well-known/ni/sha-256/c%20d"),
    ],
)
def test_a_redirect_leads_to_https(location, wanted):
    assert follow(object_uri(SA, HELLO), location, SERVER) == wanted


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://sc.example/",
        "file:///etc/passwd",
        "ftp://sc.example/",
        "https://user:pass@sc.example/",
        "https://sc.example:99999/",
        "https://sc.example/ü",
        "https://sc.example/a b",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://sc.example\\@sd.example/",
        "https://sc.example%2f@sd.example/",
        "https://./",
        "https://:443/",
        "https://sc.example:0443/",
        "https://ⓢc.example/",
        "https://sc.example/" + "a" * MAX_URI,
    ],
)
def test_a_redirect_to_anything_else_is_refused(location):
    assert code_of(follow, object_uri(SA, HELLO), location, SERVER) == ErrorCode.REMOTE_REFUSED


def test_a_redirect_back_to_us_is_a_loop():
    for spelling in (SERVER, SERVER.upper(), SERVER + ":443", SERVER + ".", SERVER + ".:443"):
        assert code_of(follow, object_uri(SA, HELLO), spelling + "/x", SERVER) == ErrorCode.LOOP_DETECTED


def test_a_token_goes_to_the_origins_in_its_audience_alone():
    octets = token(aud=(SA, "https://sc.example"))
    held = read_remote_token(octets, SA)
    spelled = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    for uri in ("https://sa.example/x", "https://sc.example/y"):
        assert held.headers(uri) == (("Authorization", f"Bearer {spelled}"),)
    for uri in ("https://sa.example:443/x", "https://sa.example.evil/x", "http://sa.example/x", "https://sb.example/"):
        assert held.headers(uri) == ()
    assert origin_of("https://sa.example:8443/x/y") == "https://sa.example:8443"
    assert spelled not in repr(held)


def test_a_token_for_another_server_or_none_at_all_is_refused():
    assert code_of(read_remote_token, token(aud=("https://sc.example",)), SA) == ErrorCode.MALFORMED
    good = token(aud=(SA,))
    for octets in (b"", b"\xff", good[:-1], good + b"\0", b"\xa0"):
        assert code_of(read_remote_token, octets, SA) == ErrorCode.MALFORMED
