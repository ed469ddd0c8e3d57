"""Headless Chromium, driven by the Chrome DevTools Protocol over a WebSocket.

It notes what a page writes to its console, what goes wrong in it, and every request that it makes.
"""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
_WAIT = 60.0


class Browser:
    """One tab. What JavaScript returns is its JSON value."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.requests: list[str] = []
        """The URL of every request, those of the page itself included."""
        self.troubles: list[str] = []
        """Errors, warnings and exceptions, among them what the content security policy forbade."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result, taking the events that come before it."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(_WAIT))
            if message.get("id") == self._number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self._event(message)

    def _event(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.troubles.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.troubles.append(" ".join(str(each.get("value")) for each in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.troubles.append(params["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.troubles.append(f"a dialog: {params['message']}")
                self._number += 1
                self._socket.send(
                    json.dumps(
                        {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                    )
                )

    def open(self, url: str) -> None:
        """Go to a page of ours and wait until it is ready."""
        self.requests.clear()
        self.troubles.clear()
        self.call("Page.navigate", url=url)
        is_ready = "document.documentElement?.dataset.ready !== undefined"
        self.until(f"{is_ready} || document.getElementById('trouble')?.hidden === false")

    def run(self, script: str) -> Any:
        """The value of an expression, waited for if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _WAIT
        while not self.run(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition}; {self.troubles}")
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """What is to be read in an element."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def type(self, selector: str, text: str) -> None:
        """Type text into an input in place of what is in it."""
        quoted = json.dumps(selector)
        self.run(f"(document.querySelector({quoted}).focus(), document.querySelector({quoted}).select(), null)")
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select element by its text."""
        script = f"""(() => {{
            const select = document.querySelector({json.dumps(selector)});
            select.value = [...select.options].find((option) => option.text === {json.dumps(value)}).value;
            select.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
        self.run(script)

    def key(self, name: str) -> None:
        """Press and release a key, such as `ArrowRight` or `+`."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            code = {"Enter": 13}.get(name, 0)
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **extra)

    def point(self, x: float, y: float) -> None:
        """Move the pointer there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, x: float, y: float) -> None:
        """Click there."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take another size, and the light or the dark theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[theme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A picture of what is seen, or of the whole page."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium of its own, which ends with the block."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    assert program is not None, "these tests need chromium: see .ci/packages"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(profile) / "DevToolsActivePort", process)
            with connect(_tab(port), max_size=None, ping_interval=None) as socket:
                tab = Browser(socket)
                yield tab
                tab.call("Browser.close")
        finally:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        time.sleep(0.02)
    raise AssertionError("chromium did not start")


def _tab(port: int) -> str:
    # The browser answers HTTP by its own rules; curl is what the tests have for that.
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        found = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/json/list"], capture_output=True, check=False)
        tabs = [each for each in json.loads(found.stdout or b"[]") if each["type"] == "page"]
        if tabs:
            url: str = tabs[0]["webSocketDebuggerUrl"]
            return url
        time.sleep(0.02)
    raise AssertionError("chromium has no tab")
