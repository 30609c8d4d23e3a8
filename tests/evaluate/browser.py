"""A headless Chromium, driven through pipes in its own protocol (DevTools); nothing but the browser is needed."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 60.0


class Browser:
    """The protocol: numbered commands out, their answers and events in, each a JSON text that ends with a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._rest = b""
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **values: Any) -> Any:
        """Return the answer to a command; events that come before it are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": values}
        os.write(self._commands, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> dict[str, Any]:
        """Return the first event of this name, from now on or kept."""
        while True:
            for event in self.events:
                if event["method"] == method:
                    return event
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser has not answered for {_PATIENCE_S:.0f} s"
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


class Tab:
    """A page in a window of some width, with everything that it complained of and asked for."""

    def __init__(self, browser: Browser, page: Path, width: int, height: int = 900, *, scripts: bool = True) -> None:
        self._browser = browser
        browser.events.clear()
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=page.as_uri())
        browser.wait_for("Page.loadEventFired")

    def send(self, method: str, **values: Any) -> Any:
        """Return the answer to a command to this page."""
        return self._browser.send(method, self._session, **values)

    def tell(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        x, y = self.tell(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)}); "
            f"it.scrollIntoView({{block: 'center', behavior: 'instant'}}); const box = it.getBoundingClientRect(); "
            f"return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press and release a key."""
        code = {"Escape": 27, "Enter": 13}[key]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def complaints(self) -> list[str]:
        """Return what the console shows in yellow or red."""
        self.tell("0")  # what was under way has arrived
        found = []
        for event in self._browser.events:
            of = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(of["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and of["type"] in {"error", "warning", "assert"}:
                found.append(str(of["args"]))
            elif event["method"] == "Log.entryAdded" and of["entry"]["level"] in {"error", "warning"}:
                found.append(str(of["entry"]))
        return found

    def requests(self) -> list[str]:
        """Return the addresses that were asked for."""
        events = self._browser.events
        return [of["params"]["request"]["url"] for of in events if of["method"] == "Network.requestWillBeSent"]


@contextmanager
def headless(folder: Path) -> Iterator[Browser]:
    """Start a browser with its files in a folder, and end it; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # The browser reads commands from descriptor 3 and answers on 4. It shows only pages that tests wrote, and has to
    # run as root in containers, where its sandbox does not.
    options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
    command = f'exec "$0" "$@" {options} 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", command, program, f"--user-data-dir={folder}"],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)
        os.close(ours_in)
        os.close(ours_out)
