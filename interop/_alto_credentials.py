"""Who may ask: a file of HTTP Digest credentials, as the `htdigest` of Apache writes it."""

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from alto.auth import DigestAuthenticator
from alto.errors import ConfigurationError
from interop._alto_files import reading

_ALGORITHMS = {32: "MD5", 64: "SHA-256"}
_DIGEST = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


@frozen
class Credentials:
    """The users of one realm."""

    realm: str
    digests: Mapping[tuple[str, str], str] = field(repr=False, hash=False)
    """By algorithm and user, the digest of user, realm and password."""

    @property
    def users(self) -> list[str]:
        """Their names."""
        return sorted({user for _, user in self.digests})

    def authenticator(self, *, key: bytes | None = None) -> DigestAuthenticator:
        """What asks clients who they are; with the same `key`, as other servers do. Raises ConfigurationError."""
        return DigestAuthenticator.from_digests(self.realm, self.digests, key=key)


def load_credentials(path: Path, *, realm: str | None = None) -> Credentials:
    """The users in a file of lines `USER:REALM:DIGEST`, in `realm` if it is given; otherwise there is to be one realm.

    DIGEST is the MD5 (32 digits) or SHA-256 (64) of `USER:REALM:PASSWORD`. `htdigest -c FILE REALM USER` of
    apache2-utils makes MD5 ones; `printf %s USER:REALM:PASSWORD | sha256sum` prints a better one. A user may have both.
    Raises ConfigurationError.
    """
    found: dict[str, dict[tuple[str, str], str]] = {}
    with reading(path):
        lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        user, _, rest = line.strip().partition(":")
        its_realm, _, digest = rest.rpartition(":")
        if not user or not its_realm or _DIGEST.fullmatch(digest) is None:
            # What it is instead may be a password: it is not to be repeated.
            raise ConfigurationError(f"{where}: USER:REALM:DIGEST is due, as htdigest writes it")
        key = _ALGORITHMS[len(digest)], user
        if key in found.setdefault(its_realm, {}):
            raise ConfigurationError(f"{where}: the user {user!r} is there already")
        found[its_realm][key] = digest.lower()
    if realm is None:
        if len(found) != 1:
            raise ConfigurationError(f"{path}: it has {_listed(found)}; which one counts has to be said")
        realm = next(iter(found))
    if realm not in found:
        raise ConfigurationError(f"{path}: nobody is in the realm {realm!r}; it has {_listed(found)}")
    return Credentials(realm, found[realm])


def _listed(realms: Mapping[str, object]) -> str:
    return "the realms " + ", ".join(map(repr, realms)) if realms else "no users"
