"""A foreign ALTO server's recorded answers, served again on loopback."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "openalto_server_transcripts.json"
_RECORDED_AT = "127.0.0.1:8000"


@contextlib.contextmanager
def replaying() -> Iterator[str]:
    """The URL of the recorded server's directory; what it was not asked for then is 404."""
    answers: dict[tuple[str, str], dict[str, Any]] = {}
    for each in json.loads(TRANSCRIPTS.read_text()):
        answers.setdefault((each["request"]["method"], each["request"]["path"]), each["response"])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer()

        def _answer(self) -> None:
            method = "GET" if self.command == "HEAD" else self.command
            found = answers.get((method, self.path), {"status": 404, "headers": {}, "body": ""})
            body = (found["body"] or "").replace(_RECORDED_AT, where).encode()
            self.send_response(found["status"])
            if "Content-Type" in found["headers"]:
                self.send_header("Content-Type", found["headers"]["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        where = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{where}/directory/directory"
        finally:
            server.shutdown()
            thread.join()
