"""Reading addresses with limits: what may be read, how long to wait, how slow is too slow.

Nothing but the address, the range and the program's name is sent: no credentials, no cookies, no referrer.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx_lib_zoo.names import check_url, shown_url

CHUNK = 1 << 18
MAX_REDIRECTS = 5
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
UNSATISFIABLE = 416
MISSING = (404, 410)


class Interrupted(Exception):
    """The connection failed or ended early; another one may do better."""


class Missing(CafxError):
    """There is nothing at the address."""


@attrs.frozen
class Limits:
    """What a download may take.

    Attributes:
        largest: bytes of one file, and of all files of a model.
        timeout: seconds without any answer.
        window, slowest: bytes per second that must come on average over so many seconds.
        attempts: connections that may fail one after another.
        pause: seconds before the second one; the wait before each further one is longer by this much.
    """

    largest: int = 4 << 30
    timeout: float = 30.0
    window: float = 30.0
    slowest: int = 1024
    attempts: int = 4
    pause: float = 1.0

    @property
    def stated(self) -> str:
        """The largest size, for errors."""
        return f"at most {self.largest:,}"


@attrs.frozen
class Web:
    """Opens addresses.

    Attributes:
        limits: what reading them may take.
        local: whether a person named a server on this machine; see `check_url`.
    """

    limits: Limits = Limits()
    local: bool = False

    @contextlib.contextmanager
    def opened(self, url: str, start: int = 0) -> Iterator[http.client.HTTPResponse]:
        """The response to a request for a file, or for what follows its first ``start`` bytes.

        Raises:
            Interrupted: the server does not answer as it should; it may later.
            CafxError: it refuses, or has nothing there.
        """
        headers = {"User-Agent": "cafx", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(check_url(url, self.local), headers=headers)
        try:
            response = self._opener().open(request, timeout=self.limits.timeout)
        except urllib.error.HTTPError as error:
            if error.code != UNSATISFIABLE:
                raise _refusal(url, error) from None
            response = error
        except urllib.error.URLError as error:
            raise _unreachable(url, error.reason) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(url, error) from None
        with response:
            coding = response.headers.get("Content-Encoding", "identity")
            if coding != "identity":
                raise CafxError("is sent in another encoding", where=shown_url(url), found=coding[:20])
            yield response

    @contextlib.contextmanager
    def chunks(self, response: http.client.HTTPResponse, url: str) -> Iterator[Iterator[bytes]]:
        """Within the ``with`` block, iterate over what a response holds, piece by piece.

        Raises:
            Interrupted: the connection failed.
            CafxError: it is too slow.
        """
        with _Pace(response, self.limits) as pace:
            yield _chunks(response, url, pace)

    def read(self, url: str, most: int) -> bytes:
        """A small file.

        Args:
            url: its address.
            most: bytes that it may have.

        Raises:
            CafxError: it cannot be read, or is larger.
        """
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._read(url, most)
            except Interrupted as error:
                if attempt == self.limits.attempts:
                    raise CafxError(str(error), where=shown_url(url), remedy="try again later") from None
                time.sleep(self.limits.pause * attempt)
        raise AssertionError

    def _read(self, url: str, most: int) -> bytes:
        data = bytearray()
        with self.opened(url) as response, self.chunks(response, url) as chunks:
            for chunk in chunks:
                data += chunk
                if len(data) > most:
                    found = f"more than {most:,} bytes"
                    raise CafxError("is too large for what it should be", where=shown_url(url), found=found)
            length = response.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and length != str(len(data)):
            raise Interrupted(f"ends after {len(data):,} of {length[:20]} bytes")
        return bytes(data)

    def _opener(self) -> urllib.request.OpenerDirector:
        """An opener for addresses that `check_url` accepts, and for nothing else."""
        opener = urllib.request.OpenerDirector()
        handlers = [_Http(), _Https(), _Redirects(self.local), urllib.request.HTTPDefaultErrorHandler()]
        for handler in (*handlers, urllib.request.HTTPErrorProcessor()):
            opener.add_handler(handler)
        if not self.local:
            opener.add_handler(urllib.request.ProxyHandler())
        return opener


class _Pace:
    """Ends a response that comes too slowly, even one whose next piece never ends.

    Attributes:
        count: bytes that came in the present window.
    """

    def __init__(self, response: Any, limits: Limits) -> None:
        self.count = 0
        self._response = response
        self._limits = limits
        self._too_slow = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Pace:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def check(self, url: str) -> None:
        """Raise the error of a response that was ended."""
        if self._too_slow:
            found = f"less than {self._limits.slowest:,} bytes per second"
            remedy = "try again later; a download continues where it ended"
            raise CafxError("the server is too slow", where=shown_url(url), found=found, remedy=remedy)

    def _watch(self) -> None:
        while not self._done.wait(self._limits.window):
            count, self.count = self.count, 0
            if count < self._limits.slowest * self._limits.window:
                self._too_slow = True
                _shut(self._response.cafx_socket)
                return


def _chunks(response: http.client.HTTPResponse, url: str, pace: _Pace) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            pace.check(url)
            raise Interrupted(f"connection lost: {_reason(error)}") from None
        pace.check(url)
        if not chunk:
            return
        pace.count += len(chunk)
        yield chunk


def _expire(expired: threading.Event, connected: Any) -> None:
    """End a connection, and say so."""
    expired.set()
    _shut(connected)


def _shut(connected: Any) -> None:
    """End a connection in use by another thread, which then reads its end."""
    with contextlib.suppress(OSError, TypeError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that may be read."""

    max_redirections = MAX_REDIRECTS

    def __init__(self, local: bool) -> None:
        self._local = local

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request for the new address."""
        fp.close()  # urllib would read all of it
        check_url(newurl, self._local, f"{shown_url(req.full_url)}: redirect")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Deadline:
    """Ends a connection whose answer does not come, or comes letter by letter."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        """As in `http.client`, within the connection's timeout."""
        expired, connected = threading.Event(), self.sock
        timer = threading.Timer(self.timeout, _expire, (expired, connected))
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (OSError, http.client.HTTPException, ValueError):
            if expired.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if expired.is_set():
            response.close()
            raise TimeoutError
        response.cafx_socket = connected
        return response


class _HttpConnection(_Deadline, http.client.HTTPConnection):
    """A connection to this machine."""


class _HttpsConnection(_Deadline, http.client.HTTPSConnection):
    """A connection to another one."""


class _Http(urllib.request.HTTPHandler):
    """Opens http."""

    def http_open(self, req: urllib.request.Request) -> Any:
        """As in `urllib`."""
        return self.do_open(_HttpConnection, req)


class _Https(urllib.request.HTTPSHandler):
    """Opens https, with the server's certificate verified."""

    def https_open(self, req: urllib.request.Request) -> Any:
        """As in `urllib`."""
        return self.do_open(_HttpsConnection, req, context=ssl.create_default_context())


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """What to make of an answer that is an error."""
    error.close()
    said = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
    if error.code in TEMPORARY:
        return Interrupted(f"the server answers: {said}")
    if error.code in MISSING:
        return Missing("there is no such file", where=shown_url(url), found=said, remedy="check the address")
    remedy = "cafx reads what is public" if error.code in (401, 403) else None
    return CafxError("cannot be read", where=shown_url(url), found=said, remedy=remedy)


def _unreachable(url: str, reason: Any) -> Exception:
    """What to make of a server that cannot be asked."""
    if isinstance(reason, CafxError):
        return reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return CafxError("the server cannot prove who it is", where=shown_url(url), found=reason.verify_message)
    if isinstance(reason, socket.gaierror):
        return CafxError("the server is not found", where=shown_url(url), remedy="check the address and the network")
    return Interrupted(f"the server cannot be read: {_reason(reason)}")


def _reason(error: Any) -> str:
    """Why a connection failed, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)
