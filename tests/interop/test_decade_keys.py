"""Keys of DECADE in files: each form, and a sentence for what is none."""

import base64
import json
import subprocess

import pytest
from decade_tokens import MAC, SIGNING

from decade import cbor
from decade.cose import Es256SigningKey
from interop.decade_keys import KeyFileError, public_key_of_text, read_signing_key, read_verifying_key
from interop.decade_server.config import ConfigError, load_config

SEED = SIGNING.seed


def text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(path, *words: str) -> None:
    subprocess.run(["openssl", *words, "-out", path], check=True, capture_output=True)


@pytest.mark.parametrize("words", [["ed25519"], ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]])
def test_keys_that_openssl_makes_are_read(tmp_path, words):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    openssl(private, "genpkey", "-algorithm", *words)
    openssl(public, "pkey", "-in", str(private), "-pubout")
    key = read_signing_key(private)
    assert read_verifying_key(private) == read_verifying_key(public)
    assert read_verifying_key(public).verify(b"octets", key.sign(b"octets"))
    with pytest.raises(KeyFileError, match=r"public\.pem: a public key makes no tokens"):
        read_signing_key(public)


@pytest.mark.parametrize(
    ("octets", "key"),
    [
        (text(SIGNING.public.octets).encode() + b"\n", SIGNING.public),
        (cbor.encode(SIGNING.public.cose_key), SIGNING.public),
        (cbor.encode({1: 1, -1: 6, -2: SIGNING.public.octets, -4: SEED}), SIGNING.public),
        (cbor.encode({1: 2, -1: 1, -4: bytes(31) + b"\x05"}), Es256SigningKey(bytes(31) + b"\x05").public),
        (cbor.encode({1: 4, 2: MAC.kid, -1: MAC.secret}), MAC),
        (json.dumps({"kty": "oct", "kid": MAC.kid.decode(), "k": text(MAC.secret)}).encode(), MAC),
    ],
)
def test_other_forms_are_told_apart_by_what_is_there(tmp_path, octets, key):
    (tmp_path / "key").write_bytes(octets)
    assert read_verifying_key(tmp_path / "key") == key


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n",
        b"{",
        b'{"kty":"RSA"}',
        json.dumps({"kty": "oct", "kid": "a", "k": text(MAC.secret) + "!/"}).encode(),
        cbor.encode({1: 4, -1: bytes(32)}),
        cbor.encode({1: 4, 2: b"k", -1: bytes(31)}),
        cbor.encode({1: 1, -1: 4, -2: bytes(32)}),
        cbor.encode([1]),
        bytes(1 << 17),
    ],
)
def test_what_is_no_key_is_one_sentence(tmp_path, octets):
    (tmp_path / "key").write_bytes(octets)
    with pytest.raises(KeyFileError, match="no key that is known here") as refused:
        read_verifying_key(tmp_path / "key")
    assert str(refused.value).startswith(f"{tmp_path / 'key'}: ")
    assert "\n" not in str(refused.value)


def test_a_key_with_a_password_is_none(tmp_path):
    openssl(tmp_path / "key", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:word")
    with pytest.raises(KeyFileError, match="no key that is known here"):
        read_signing_key(tmp_path / "key")


def test_a_public_key_as_text_has_43_characters():
    assert public_key_of_text(text(SIGNING.public.octets)) == SIGNING.public
    with pytest.raises(ValueError, match="43 characters of base64url"):
        public_key_of_text("x" * 44)
    with pytest.raises(ValueError, match="order"):
        public_key_of_text("A" * 43)


def test_the_key_with_which_a_server_mints_is_the_key_of_no_account(tmp_path):
    (tmp_path / "own").write_bytes(cbor.encode({1: 1, -1: 6, -2: SIGNING.public.octets, -4: SEED}))
    config = tmp_path / "decade.toml"
    config.write_text('extensions = ["mint"]\nmint-key = "own"\n[accounts.alice.keys.a]\nfile = "own"\n')
    with pytest.raises(ConfigError, match="mint-key: it is the key of an account"):
        load_config(config)
