"""Proof of possession: what of a signature's fields is read, what is refused, and that each holds once."""

import base64

import attrs
import pytest
from decade_chains import HOLDERS
from decade_tokens import NOW
from hypothesis import example, given
from hypothesis import strategies as st

from decade import pop
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import Request
from decade.pop import WINDOW, Replays, check_body, read_proof, sign

KEY = HOLDERS[0]
URI = "https://sb.example/decade/v1/status?x=1"
NONCE = "0123456789abcdef"
REQUEST = Request("GET", URI, (("Authorization", "Bearer YWJj"),))


def signed(request=REQUEST, key=KEY, *, created=NOW, nonce=NONCE):
    return attrs.evolve(request, headers=(*request.headers, *sign(request, key, created=created, nonce=nonce)))


def with_input(value, request=None):
    """The request with another Signature-Input."""
    request = request or signed()
    fields = tuple((name, value if name == "Signature-Input" else old) for name, old in request.headers)
    return attrs.evolve(request, headers=fields)


def check(request, *, key=KEY, wall=NOW, replays=None, uri=URI):
    proof = read_proof(request, uri)
    (Replays() if replays is None else replays).check(proof, key.public, "alice", wall)
    return proof


def own(text):
    """A request whose signature is right for a Signature-Input in a spelling of its own, signed as it is read."""
    request = with_input(f"sig={text}")
    fields = tuple(
        (name, old.replace("decade=", "sig=") if name == "Signature" else old) for name, old in request.headers
    )
    request = attrs.evolve(request, headers=fields)
    proof = read_proof(request, URI)
    made = base64.b64encode(KEY.sign(proof.base)).decode()
    return attrs.evolve(request, headers=(*fields[:-1], ("Signature", f"sig=:{made}:")))


def test_the_octets_that_are_signed_are_those_of_rfc_9421_section_2_5():
    proof = check(signed())
    keyid = base64.urlsafe_b64encode(KEY.kid).rstrip(b"=").decode()
    assert proof.base.decode() == (
        '"@method": GET\n'
        '"@target-uri": https://sb.example/decade/v1/status?x=1\n'
        '"authorization": Bearer YWJj\n'
        '"@signature-params": ("@method" "@target-uri" "authorization");created=1800000000;nonce="0123456789abcdef";'
        f'keyid="{keyid}";alg="ed25519";tag="decade"'
    )


def test_a_request_with_a_body_covers_its_digest():
    body = b"Hello World!"
    proof = check(signed(attrs.evolve(REQUEST, method="PUT", body=body)))
    assert '"content-digest": sha-256=:f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=:\n' in proof.base.decode()
    check_body(proof.digest, body)
    with pytest.raises(RefusedError):
        check_body(proof.digest, b"Hello world!")
    with pytest.raises(DecodeError):
        read_proof(attrs.evolve(signed(), method="POST"), URI)


C = '("@method" "@target-uri" "authorization")'
P = f';created={NOW};nonce="{NONCE}";tag="decade"'
DIGEST = ("Content-Digest", f"sha-256=:{base64.b64encode(bytes(32)).decode()}:")


@pytest.mark.parametrize(
    "text",
    [
        C + P,
        '("authorization"  "@target-uri" "@method" )' + P,
        f'( "@method" "@target-uri" "authorization");tag="decade"; nonce="{NONCE}";created={NOW}',
        C + P + f';expires={NOW + 9};keyid="anything"',
    ],
)
def test_the_order_and_the_spaces_of_the_field_are_free(text):
    assert check(own(text)).nonce == NONCE


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "decade",
        "decade=",
        "decade=?1",
        "decade=()" + P,
        'decade=("@method" "@target-uri")' + P,
        'decade=("@method" "@target-uri" "authorization" "authorization")' + P,
        'decade=("@method" "@target-uri" "authorization" "x-other")' + P,
        'decade=("@method" "@target-uri" "authorization" "content-digest")' + P,
        'decade=("@method";req "@target-uri" "authorization")' + P,
        'decade=("@method" "@target-uri" authorization)' + P,
        'decade=("@method""@target-uri" "authorization")' + P,
        f"decade={C};created={NOW}",
        f'decade={C};created={NOW};tag="decade"',
        f'decade={C};nonce="{NONCE}";tag="decade"',
        f'decade={C};created={NOW};nonce="{NONCE}";tag="other"',
        f'decade={C};created={NOW};nonce="{NONCE}";tag=decade',
        f'decade={C};created={NOW};nonce="short";tag="decade"',
        f'decade={C};created={NOW};nonce="{"n" * 65}";tag="decade"',
        f'decade={C};created={NOW};nonce="0123456789abc\\"de";tag="decade"',
        f'decade={C};created="{NOW}";nonce="{NONCE}";tag="decade"',
        f'decade={C};created=-1;nonce="{NONCE}";tag="decade"',
        f'decade={C};created=0{NOW};nonce="{NONCE}";tag="decade"',
        f'decade={C};created;nonce="{NONCE}";tag="decade"',
        f"decade={C}{P};created={NOW}",
        f"decade={C}{P};new=1",
        f"decade={C}{P}, decade={C}{P}",
        f"decade={C}{P}, other={C}{P}",
        f"other={C}{P}",
        f"decade={C}{P},",
        f"decade={C}{P} x",
        f"decade={C}{P}" + " " * 4096 + "x",
    ],
)
def test_other_inputs_are_refused(text):
    request = signed()
    if text is None:
        request = attrs.evolve(request, headers=request.headers[:1])
    else:
        # A digest that may be covered is there.
        request = with_input(text, signed(attrs.evolve(REQUEST, headers=(*REQUEST.headers, DIGEST))))
    with pytest.raises(DecodeError):
        read_proof(request, URI)


def test_signatures_of_others_are_left_alone():
    request = signed()
    names = dict(request.headers)
    fields = {
        "Signature-Input": f'proxy=("@method";req "x");created=1;key=?0;v=1.5;t=a/b, {names["Signature-Input"]}',
        "Signature": f"proxy=:YWJj:, {names['Signature']}",
    }
    assert check(attrs.evolve(request, headers=tuple((names | fields).items())))


@pytest.mark.parametrize(
    "value", ["", "decade=:Y:", "decade=YWJj", "other=:YWJj:", "decade=:YWJj:, decade=:YWJj:", "x"]
)
def test_a_signature_that_is_none_is_refused(value):
    fields = tuple((name, value if name == "Signature" else old) for name, old in signed().headers)
    with pytest.raises(DecodeError):
        read_proof(attrs.evolve(REQUEST, headers=fields), URI)


def refused(*arguments, **more):
    with pytest.raises(RefusedError) as found:
        check(*arguments, **more)
    return found.value.code


def test_another_key_and_another_algorithm_are_refused():
    assert refused(signed(), key=HOLDERS[2]) == ErrorCode.POP_FAILED
    assert refused(signed(), key=HOLDERS[1]) == ErrorCode.POP_FAILED
    assert check(signed(key=HOLDERS[1]), key=HOLDERS[1])
    wrong = with_input(dict(signed().headers)["Signature-Input"].replace("ed25519", "rsa-v1_5-sha256"))
    assert refused(wrong) == ErrorCode.POP_FAILED
    # The signature is right, and what it says of itself is not.
    assert refused(own(C + P + ';alg="ecdsa-p256-sha256"')) == ErrorCode.POP_FAILED


def test_a_signature_holds_for_a_minute_before_and_after():
    for created, wall, is_right in (
        (NOW, NOW + WINDOW, True),
        (NOW, NOW + WINDOW + 1, False),
        (NOW + WINDOW, NOW, True),
        (NOW + WINDOW + 1, NOW, False),
    ):
        replays = Replays(NOW - 900)
        request = signed(created=created)
        assert is_right == (not _is_refused(request, wall, replays))
    ends = own(f'{C};created={NOW};expires={NOW - WINDOW};nonce="{NONCE}";tag="decade"')
    assert refused(ends) == ErrorCode.POP_FAILED


def _is_refused(request, wall, replays):
    try:
        check(request, wall=wall, replays=replays)
    except RefusedError:
        return True
    return False


def test_a_signature_holds_once_even_after_a_restart():
    replays = Replays()
    check(signed(), replays=replays)
    assert refused(signed(), replays=replays) == ErrorCode.POP_FAILED
    # Another key or account may have the same nonce.
    check(signed(key=HOLDERS[2]), key=HOLDERS[2], replays=replays)
    replays.check(read_proof(signed(), URI), KEY.public, "bob", NOW)
    assert len(replays) == 3
    assert refused(signed(created=NOW - 1), replays=Replays(), wall=NOW) == ErrorCode.POP_FAILED


def test_nonces_are_forgotten_when_no_signature_with_them_would_hold(monkeypatch):
    monkeypatch.setattr(pop, "MAX_NONCES", 3)
    replays = Replays()
    for number in range(3):
        check(signed(nonce=f"{number:016}", created=NOW + WINDOW), replays=replays)
    assert refused(signed(nonce=f"{3:016}"), replays=replays) == ErrorCode.RATE_LIMITED
    replays.check(read_proof(signed(), URI), KEY.public, "bob", NOW)
    first = signed(nonce=f"{0:016}", created=NOW + WINDOW)
    assert refused(first, replays=replays, wall=NOW + 2 * WINDOW) == ErrorCode.POP_FAILED
    check(signed(nonce=f"{4:016}", created=NOW + 3 * WINDOW), replays=replays, wall=NOW + 3 * WINDOW)
    assert len(replays) == 1


FIELDS = ("Signature-Input", "Signature", "Content-Digest", "Authorization")
PIECES = st.sampled_from(
    [
        "decade=",
        C,
        P,
        "(",
        ")",
        '"',
        ";",
        ",",
        " ",
        "=",
        ":",
        "@method",
        "YWJj",
        "\\",
        "é",
        "\n",
        "tag",
        "sha-256",
        "x=",
    ]
)
GARBLED = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)


@given(st.lists(st.tuples(st.sampled_from(FIELDS), GARBLED), max_size=5), st.sampled_from(["GET", "PUT", "é"]))
@example([("Signature-Input", f"decade={C}{P}"), ("Signature", "decade=:YWJj:"), ("Authorization", "é")], "GET")
def test_any_fields_are_read_or_refused(fields, method):
    try:
        proof = read_proof(Request(method, URI, tuple(fields)), URI)
    except DecodeError:
        return
    assert not KEY.public.verify(proof.base, proof.signature)


@given(st.data())
def test_a_changed_character_is_refused(data):
    request = signed()
    at = data.draw(st.integers(0, len(request.headers) - 1))
    name, value = request.headers[at]
    place = data.draw(st.integers(0, len(value) - 1))
    changed = value[:place] + data.draw(st.characters(codec="latin-1")) + value[place + 1 :]
    if changed.strip(" \t") == value:
        return
    fields = (*request.headers[:at], (name, changed), *request.headers[at + 1 :])
    try:
        proof = check(attrs.evolve(request, headers=fields))
    except (DecodeError, RefusedError):
        return
    # What is not signed may change: the label, and spaces that mean nothing.
    assert proof.base == read_proof(request, URI).base
