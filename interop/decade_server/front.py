"""A web server in front that sends the files of objects itself.

Either it passes each GET on and is told in the answer which file to send (nginx: X-Accel-Redirect), or it asks about
each GET before it sends a file of its own (nginx: auth_request; PROFILE.md section 14.16).

It asks for each object, so that tokens, amounts and uses are as exact as without it; shares of the line are not, for it
knows a rate for each answer alone.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from decade.http import Headers, Response
from decade.names import Name, read_segment
from decade.policy import PolicyTree
from decade.scheduler import Terms
from decade.sdt import ObjectDownload
from decade.settings import DRP_PATH

AUTHORIZE = DRP_PATH + "authorize"
_CONDITIONS = frozenset({"if-match", "if-none-match", "if-range", "content-length", "content-type"})
_OF_THE_BODY = frozenset({"content-length", "content-range", "accept-ranges"})
_OF_NO_VERDICT = _OF_THE_BODY | {"x-accel-redirect", "content-type"}


def is_question(target: str) -> bool:
    """Whether this is the resource by which a web server asks about a request of its own."""
    return target.partition("?")[0] == AUTHORIZE


def asked_about(method: str, target: str, headers: Headers) -> tuple[str, str, Headers]:
    """The method, the target and the header of the request that is asked about; conditions are for who sends."""
    found = dict(headers)
    kept = tuple((name, value) for name, value in headers if name not in _CONDITIONS)
    original = found.get("x-original-method", "GET"), found.get("x-original-uri", "")
    return (*original, kept) if original[0] == "GET" and original[1] else (method, target, headers)


@attrs.frozen
class Front:
    """`prefix`: the path of the location that is internal there, with a slash at its end, for the directory of objects.

    `place`: the folder and the file of an object in that directory. `tree`: has the ceilings.
    """

    prefix: str
    place: Callable[[Name], tuple[str, str]]
    tree: PolicyTree

    def hand_over(self, answer: Response, now: float) -> Response:
        """The same answer for the web server, which applies Range to the file by itself. It counts as sent.

        Raises ConnectionError if it must not be sent any more.
        """
        body = answer.body
        if not isinstance(body, ObjectDownload):
            return answer
        if not body.hand_over(now):
            raise ConnectionError
        kept = tuple((name, value) for name, value in answer.headers if name.lower() not in _OF_THE_BODY)
        told = [("X-Accel-Redirect", self.prefix + "/".join(self.place(body.name))), ("Content-Length", "0")]
        rate = self._rate(body.terms)
        if rate is not None:
            told.append(("X-Accel-Limit-Rate", str(rate)))
        return Response(200, (*kept, *told))

    def verdict(self, answer: Response) -> Response:
        """What is said of a GET that was asked about: 204 with the file to send and the header to send it with."""
        etag = answer.header("ETag")
        if answer.status != 200 or etag is None:
            return answer
        # The answer with an object of no octets is whole, and names no file.
        file = "/".join(self.place(read_segment(etag.strip('"'))))
        told = [(name, value) for name, value in answer.headers if name.lower() not in _OF_NO_VERDICT]
        kind = answer.header("Content-Type")
        if kind is not None:
            told.append(("X-Decade-Type", kind))
        return Response(204, (*told, ("X-Decade-File", file)))

    def _rate(self, terms: Terms) -> int | None:
        """Octets a second; at least one, for none would be no limit."""
        ceilings = (terms.ceiling, self.tree.effective(terms.path).ceiling_download)
        ceiling = min((one for one in ceilings if one is not None), default=None)
        return None if ceiling is None else max(1, ceiling // 8)
