"""What a client keeps of earlier answers, to ask only whether they still hold (RFC 9110 section 13, RFC 9111)."""

from collections import OrderedDict

from attrs import define

from alto.http import Request, Response

MAX_ENTRIES = 256
"""Answers that are kept: more than the resources of most servers."""

MAX_OCTETS = 64 * 1024 * 1024
"""Octets of all bodies that are kept: two cost maps of two thousand PIDs."""

_NOT_MODIFIED = 304


@define(eq=False)
class CachedAnswer:
    """A GET that was answered and can be revalidated. `value` is what the body was parsed into, for its user."""

    request: Request
    response: Response
    value: object = None

    def suits(self, request: Request) -> bool:
        """Whether the answer was chosen by headers that are the same in this request (RFC 9111 section 4.1)."""
        names = [name.strip() for name in (self.response.header("vary") or "").split(",")]
        return all(self.request.header(name) == request.header(name) for name in names if name)


class ResponseCache:
    """The last answers to GET requests, by URI; those asked for least recently go first.

    Every use is validated with the server, so that freshness does not matter and no clock is needed. Nothing is kept
    of an answer with `no-store` or `Vary: *`, or without a validator.
    """

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_octets: int = MAX_OCTETS) -> None:
        self._max_entries = max_entries
        self._max_octets = max_octets
        self._octets = 0
        self._answers: OrderedDict[str, CachedAnswer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, request: Request) -> CachedAnswer | None:
        """What is kept for this request; None where nothing is."""
        answer = self._answers.get(request.target) if request.method == "GET" else None
        if answer is None or not answer.suits(request):
            return None
        self._answers.move_to_end(request.target)
        return answer

    def keep(self, request: Request, response: Response) -> CachedAnswer:
        """An answer of status 200, which is kept if it may be."""
        answer = CachedAnswer(request, response)
        if request.method != "GET":
            return answer
        self._forget(request.target)
        if _may_be_kept(response) and len(response.body) <= self._max_octets:
            self._answers[request.target] = answer
            self._octets += len(response.body)
            while len(self._answers) > self._max_entries or self._octets > self._max_octets:
                self._forget(next(iter(self._answers)))
        return answer

    def _forget(self, target: str) -> None:
        answer = self._answers.pop(target, None)
        if answer is not None:
            self._octets -= len(answer.response.body)


def conditional(request: Request, answer: CachedAnswer) -> Request:
    """The request, to be answered in full only where `answer` does not hold any more."""
    etag = answer.response.header("etag")
    modified = answer.response.header("last-modified")
    condition = ("If-None-Match", etag) if etag is not None else ("If-Modified-Since", modified or "")
    return Request(request.method, request.target, (*request.headers, condition), request.body)


def is_unchanged(response: Response) -> bool:
    """Whether a response says that what is kept still holds."""
    return response.status == _NOT_MODIFIED


def _may_be_kept(response: Response) -> bool:
    directives = {part.strip().lower() for part in (response.header("cache-control") or "").split(",")}
    vary = {part.strip() for part in (response.header("vary") or "").split(",")}
    has_validator = response.header("etag") is not None or response.header("last-modified") is not None
    return has_validator and "no-store" not in directives and "*" not in vary
