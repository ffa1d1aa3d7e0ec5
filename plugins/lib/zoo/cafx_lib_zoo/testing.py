"""A web server on this machine that serves models well and badly, for tests of sources.

Example:
    >>> from cafx_lib_zoo.web import Web
    >>> with running() as site:
    ...     site.files["/m/readme.md"] = b"text"
    ...     Web(FAST, local=True).read(f"{site.address}/m/readme.md", 100)
    b'text'
"""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cafx_lib_zoo.web import Limits

FAST = Limits(largest=50 << 20, timeout=1.0, window=0.5, slowest=1000, attempts=3, pause=0.0)
"""Limits of tests: nobody waits."""


class Site:
    """A server of bytes by path.

    Attributes:
        files: what it serves, with support for Range.
        special: by path, what answers instead.
        requests: path and Range of each request, in order.
        headers: the headers of each request.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.special: dict[str, Callable[[Any], None]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []

    def serve(self, folder: Path, prefix: str = "/m/") -> str:
        """Serve the files of a folder, and return its address."""
        self.files |= {f"{prefix}{path.name}": path.read_bytes() for path in folder.iterdir()}
        return self.address + prefix


def handler_of(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    """The class that answers for a site."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer, and remember what was asked."""
            wanted = self.headers.get("Range")
            site.requests.append((self.path, wanted))
            site.headers.append(dict(self.headers))
            with contextlib.suppress(ConnectionError):
                if self.path in site.special:
                    site.special[self.path](self)
                elif self.path not in site.files:
                    self.send_error(404)
                else:
                    send(self, site.files[self.path], wanted)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    return Handler


def send(handler: Any, data: bytes, wanted: str | None = None) -> None:
    """Answer with bytes, or with what a Range asks for."""
    begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
    if begin >= len(data) > 0 and wanted:
        handler.send_error(416)
        return
    handler.send_response(206 if wanted else 200)
    if wanted:
        handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - begin))
    handler.end_headers()
    handler.wfile.write(data[begin:])


def truncated(data: bytes, at: int) -> Callable[[Any], None]:
    """Announces everything and closes the connection after ``at`` further bytes."""

    def answer(handler: Any) -> None:
        wanted = handler.headers.get("Range")
        begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        handler.send_response(206 if wanted else 200)
        if wanted:
            handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - begin))
        handler.end_headers()
        handler.wfile.write(data[begin : begin + at])

    return answer


def trickling(size: int, seconds: float = 20.0) -> Callable[[Any], None]:
    """Announces ``size`` bytes and sends one every tenth of a second."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(int(seconds * 10)):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    return answer


def redirected(to: str) -> Callable[[Any], None]:
    """Sends the reader elsewhere."""

    def answer(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


@contextlib.contextmanager
def running() -> Iterator[Site]:
    """A server while the block runs."""
    site = Site("")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(site))
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def on_site(
    put: Callable[[Site], Any], around: Callable[[Site], Any] = lambda _: contextlib.nullcontext()
) -> Iterator[Any]:
    """A server while the block runs, and what ``put`` returns once it has put files there.

    Args:
        put: called with the site.
        around: returns a further context, in which the block runs.
    """
    with running() as site, around(site):
        yield put(site)


@contextlib.contextmanager
def in_folder(folder: Path, files: Mapping[str, bytes], opened: Callable[[Path], Any]) -> Iterator[Any]:
    """A folder with a model and a link that leads out of it, and one that is missing, each as ``opened`` makes them."""
    model = folder / "model"
    model.mkdir()
    for name, data in files.items():
        (model / name).write_bytes(data)
    (folder / "outside.prototxt").write_bytes(b"no")
    (model / "link.prototxt").symlink_to(folder / "outside.prototxt")
    yield opened(model), opened(folder / "missing")
