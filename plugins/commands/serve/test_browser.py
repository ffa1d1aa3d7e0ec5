"""The page in a real Chromium, headless: choosing, dropping and pasting images, boxes, a phone, and no foreign script.

The browser is that of CAFX_CHROMIUM, or one on the path. It is driven by its DevTools protocol, over a WebSocket.
Screenshots are left in the folder CAFX_SCREENSHOTS, if it is set.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx_lib_feed.images import encode
from cafx_lib_preprocessing import Preprocessing

HOST = "127.0.0.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-allow-origins=*")
WIDE, PHONE = (1280, 800), (390, 844)
TEXT, CLOSE = 0x81, 0x8
PATIENCE = 30.0


class WebSocket:
    """A client of the WebSocket protocol (RFC 6455), as far as DevTools needs it."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        head = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline().strip():
            pass

    def send(self, text: str) -> None:
        """Send a text message."""
        data, mask = text.encode(), secrets.token_bytes(4)
        sizes = struct.pack(">BBH", TEXT, 0x80 | 126, len(data)) if len(data) < 1 << 16 else b""
        header = sizes or struct.pack(">BBQ", TEXT, 0x80 | 127, len(data))
        self.socket.sendall(header + mask + bytes(each ^ mask[n % 4] for n, each in enumerate(data)))

    def receive(self) -> str:
        """The next message."""
        whole = b""
        while True:
            first, size = self.file.read(2)
            size &= 0x7F
            if size >= 126:
                size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
            whole += self.file.read(size)
            if first & 0x80:
                return whole.decode()


class Page:
    """A page of the browser."""

    def __init__(self, port: int, path: str) -> None:
        self.web_socket, self.number = WebSocket(port, path), 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of DevTools."""
        self.number += 1
        self.web_socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.web_socket.receive())
            if message.get("id") == self.number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self.events.append(message)

    def run(self, code: str) -> Any:
        """The value of an expression."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, code: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(code):
            assert time.monotonic() < end, (code, self.run("document.body.innerText"))
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Load a page of cafx serve, at a desktop's size."""
        self.events.clear()
        self.size(*WIDE)
        self.call("Page.navigate", url=url)
        self.wait("location.href != 'about:blank' && document.title.includes('·')")

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        """Show the page as on such a screen."""
        scale = 2 if mobile else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def choose(self, file: Path) -> None:
        """Choose a file, as a person does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def transfer(self, event: str, data: bytes, kind: str) -> None:
        """Drop or paste a file."""
        text, field = base64.b64encode(data).decode(), "clipboardData" if "Clipboard" in event else "dataTransfer"
        self.run(
            f"fetch('data:{kind};base64,{text}').catch(() => 0) && (() => {{"
            f"const bytes = Uint8Array.from(atob('{text}'), (c) => c.charCodeAt(0)); const d = new DataTransfer();"
            f"d.items.add(new File([bytes], 'x', {{ type: '{kind}' }}));"
            f"document.dispatchEvent(new {event}, {{ {field}: d }})) }})()"
        )

    def shot(self, name: str) -> bytes:
        """A screenshot, as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        folder = os.environ.get("CAFX_SCREENSHOTS")
        if folder:
            Path(folder, f"{name}.png").write_bytes(data)
        return data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a browser that lives as long as this module's tests."""
    program = os.environ.get("CAFX_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not program:
        pytest.skip("no Chromium: install it, or set CAFX_CHROMIUM to one")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    browser = subprocess.Popen(
        [program, *FLAGS, f"--remote-debugging-port={port}", profile, "about:blank"], stderr=subprocess.DEVNULL
    )
    try:
        yield Page(port, _path_of_page(port))
    finally:
        browser.kill()
        browser.wait()


def _path_of_page(port: int) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{HOST}:{port}/json", timeout=5) as response:
                pages = [each for each in json.load(response) if each["type"] == "page"]
            if pages:
                return "/" + pages[0]["webSocketDebuggerUrl"].split("/", 3)[3]
        time.sleep(0.1)
    raise AssertionError("the browser does not answer")


@pytest.mark.slow
def test_an_image_is_chosen_dropped_and_pasted(page: Page, serve: Callable[..., Any], colours: Path) -> None:
    page.open(f"http://{HOST}:{serve().port}/")
    page.choose(colours / "red.png")
    page.wait("!document.getElementById('result').hidden")
    lists = page.run("['hedged', 'top'].map((id) => document.querySelector('#' + id + ' li').innerText)")
    assert [each.split("\n")[0] for each in lists] == ["a red", "a red"]
    assert "a <b>blue</b>" in page.run("document.getElementById('top').innerText")
    assert page.run("document.querySelectorAll('#top b').length") == 0
    assert "no mean" in page.run("document.getElementById('facts').innerText")
    assert page.run("document.getElementById('image').naturalWidth") == 10
    for event in ("DragEvent('drop'", "ClipboardEvent('paste'"):
        page.run("document.getElementById('facts').textContent = ''")
        page.transfer(event, (colours / "red.png").read_bytes(), "image/png")
        page.wait("document.getElementById('facts').textContent.includes('10×8')")
    page.transfer("DragEvent('drop'", b"<svg/>", "image/svg+xml")
    page.wait("document.getElementById('status').classList.contains('wrong')")
    assert "JPEG, PNG" in page.run("document.getElementById('status').textContent")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("phone", PHONE)])
def test_the_page_fits_the_screen(
    name: str, size: tuple[int, int], page: Page, serve: Callable[..., Any], colours: Path
) -> None:
    page.open(f"http://{HOST}:{serve().port}/")
    page.size(*size, mobile=name == "phone")
    page.choose(colours / "red.png")
    page.wait("!document.getElementById('result').hidden && document.getElementById('image').complete")
    assert page.run("document.documentElement.scrollWidth") == size[0]
    columns = page.run("getComputedStyle(document.getElementById('result')).gridTemplateColumns.split(' ').length")
    assert columns == (2 if name == "wide" else 1)
    assert page.shot(name).startswith(b"\x89PNG")


@pytest.mark.slow
def test_foreign_scripts_styles_and_requests_are_refused(page: Page, serve: Callable[..., Any]) -> None:
    page.open(f"http://{HOST}:{serve().port}/")
    page.run("""(() => {
        const script = document.createElement('script'); script.textContent = 'window.evil = 1';
        const image = document.createElement('img'); image.setAttribute('onerror', 'window.evil = 2'); image.src = 'x:';
        document.body.append(script, image) })()""")
    assert page.run("new Promise((done) => setTimeout(() => done(window.evil || 'none'), 300))") == "none"
    assert page.run(f"fetch('http://{HOST}:9/').then(() => 'sent', (error) => error.message)") == "Failed to fetch"
    texts = [json.dumps(each) for each in page.events if each.get("method") == "Log.entryAdded"]
    assert sum("Content Security Policy" in each for each in texts) >= 3


def test_the_page_itself_keeps_its_policy(page: Page, serve: Callable[..., Any], colours: Path) -> None:
    page.open(f"http://{HOST}:{serve().port}/")
    page.choose(colours / "red.png")
    page.wait("!document.getElementById('result').hidden")
    assert [each for each in page.events if each.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")] == []


@pytest.mark.slow
def test_boxes_are_drawn_over_the_image(
    page: Page, serve: Callable[..., Any], detector: Callable[..., Any], tmp_path: Path
) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[:100, 150:] = (0, 0, 255)
    (tmp_path / "i.png").write_bytes(encode(image, ".png", "x"))
    model = detector(Preprocessing(labels=("background", "<i>red</i>")))
    page.open(f"http://{HOST}:{serve(model=model, tree=None).port}/")
    page.choose(tmp_path / "i.png")
    page.wait("document.querySelectorAll('.box').length == 1 && document.getElementById('image').naturalWidth == 300")
    box, all_ = page.run("['.box', '#image'].map((s) => document.querySelector(s).getBoundingClientRect().toJSON())")
    across = [(box[side] - all_["left"]) / all_["width"] for side in ("left", "right")]
    down = [(box[side] - all_["top"]) / all_["height"] for side in ("top", "bottom")]
    assert (across, down) == (pytest.approx([0.5, 1.0], abs=0.02), pytest.approx([0.0, 0.5], abs=0.02))
    assert page.run("document.querySelector('.box').innerText").startswith("<i>red</i> 9")
    page.shot("boxes")
