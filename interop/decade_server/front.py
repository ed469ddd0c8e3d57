"""A web server in front that sends the files of objects itself, when it is told to (nginx: X-Accel-Redirect).

It asks for each object, so that tokens, amounts and uses are as exact as without it; shares of the line are not, for it
knows a rate for each answer alone.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from decade.http import Response
from decade.names import Name
from decade.policy import PolicyTree
from decade.scheduler import Terms
from decade.sdt import ObjectDownload

_OF_THE_BODY = frozenset({"content-length", "content-range", "accept-ranges"})


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

    def _rate(self, terms: Terms) -> int | None:
        """Octets a second; at least one, for none would be no limit."""
        ceilings = (terms.ceiling, self.tree.effective(terms.path).ceiling_download)
        ceiling = min((one for one in ceilings if one is not None), default=None)
        return None if ceiling is None else max(1, ceiling // 8)
