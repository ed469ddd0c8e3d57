"""What uvicorn does not tell an application: the certificate that a client has shown.

It comes as the ASGI extension `tls` has it, `client_cert_name`; other servers that speak the extension do as well.
"""

import asyncio
import ssl
from typing import Any

from interop._http_limits import LimitedHttpProtocol

# The short names of RFC 4514 section 3; others stand as OpenSSL writes them.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class CertificateHttpProtocol(LimitedHttpProtocol):
    """Uvicorn's HTTP/1.1 with limits, and the verified name of a client that has a certificate in each scope."""

    _client: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        # The TLS library has verified it: a connection with a certificate that does not verify was never made.
        certificate = tls.getpeercert() if isinstance(tls, ssl.SSLObject | ssl.SSLSocket) else None
        self._client = distinguished_name(certificate.get("subject", ())) if certificate else None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._client is not None:
            self.scope["extensions"] = {"tls": {"client_cert_name": self._client}}


def distinguished_name(subject: Any) -> str:
    """The subject of a certificate, as `ssl` gives it, in the text of RFC 4514: the last name first."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in rdn) for rdn in subject[::-1]
    )


def _escaped(value: str) -> str:
    """Section 2.4."""
    text = "".join("\\" + character if character in '"+,;<>\\' else character for character in value)
    text = text.replace("\0", "\\00")
    if text[:1] in (" ", "#"):
        text = "\\" + text
    if value.endswith(" ") and len(value) > 1:
        text = text[:-1] + "\\ "
    return text
