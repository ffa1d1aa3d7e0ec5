"""Images by URL, without letting strangers reach what only this machine can.

Every address that a host's name resolves to has to be public, and the connection goes to the very address that was
checked; the same holds after each redirect. The whole fetch is limited in bytes and in seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

import attrs

from cafx_command_serve.limits import Refusal

PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 3
MOST_URL = 2048
CHUNK = 1 << 16
EMBEDDING = [
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("64:ff9b:1::/48"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
]
"""IPv6 networks whose addresses contain an IPv4 address, and how many bits follow it."""
FAILED = "the image cannot be fetched"


def is_public(address: str) -> bool:
    """Whether an address is one of the Internet's, hence not of this machine or its networks.

    Example:
        >>> [is_public(each) for each in ("93.184.215.14", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
        [True, False, False, False]
    """
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped:
            return is_public(str(known.ipv4_mapped))
        for network, after in EMBEDDING:
            if known in network:
                return is_public(str(ipaddress.IPv4Address(int(known) >> after & 0xFFFFFFFF)))
    return known.is_global and not known.is_multicast and not known.is_reserved


@attrs.frozen
class Fetcher:
    """Fetches images.

    Attributes:
        most: bytes of an answer.
        seconds: for everything.
        allowed: whether an address and port may be connected to; by default public ones, at a scheme's own port.
    """

    most: int
    seconds: float = 10.0
    allowed: Callable[[str, int], bool] = lambda address, port: port in PORTS.values() and is_public(address)

    def fetch(self, url: str) -> bytes:
        """The content at a URL.

        Raises:
            Refusal: the URL is not one of a public web server (400), or it gives no such content (502).
        """
        end = time.monotonic() + self.seconds
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._once(url, end)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        raise Refusal(502, f"{FAILED}: more than {MOST_REDIRECTS} redirects")

    def _once(self, url: str, end: float) -> bytes | str:
        """The content, or where a redirect leads."""
        scheme, host, port, target = _parts(url)
        address, family = self._resolved(host, port)
        try:
            with _connection(scheme, host, port, address, family, end) as connection:
                connection.request("GET", target, headers={"User-Agent": "cafx", "Accept": "image/*"})
                return self._read(connection.getresponse(), end)
        except (OSError, http.client.HTTPException, ValueError):
            late = time.monotonic() >= end
            reason = f"not within {self.seconds:g} seconds" if late else "the server does not answer as one should"
            raise Refusal(502, f"{FAILED}: {reason}") from None

    def _read(self, response: http.client.HTTPResponse, end: float) -> bytes | str:
        if response.status in REDIRECTS:
            return response.getheader("Location") or ""
        if response.status != http.client.OK:
            raise Refusal(502, f"{FAILED}: the server says {response.status}")
        body = bytearray()
        while chunk := response.read(min(CHUNK, self.most + 1 - len(body))):
            body += chunk
            if len(body) > self.most:
                raise Refusal(502, f"{FAILED}: it is larger than {self.most:,} bytes")
        if response.length or time.monotonic() >= end:
            raise http.client.IncompleteRead(bytes(body))
        return bytes(body)

    def _resolved(self, host: str, port: int) -> tuple[str, int]:
        """An address of a host, all of whose addresses are allowed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Refusal(400, f"{FAILED}: its host is not known") from None
        addresses = [(str(sockaddr[0]), family) for family, _, _, _, sockaddr in found]
        if not addresses or not all(self.allowed(address, port) for address, _ in addresses):
            raise Refusal(400, f"{FAILED}: its host is not a public web server")
        return addresses[0]


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and target of a URL."""
    plain = len(url) <= MOST_URL and url.isascii() and url.isprintable() and " " not in url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        plain, port = False, None
    if not plain or parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise Refusal(400, "this is no URL of an image: it begins with http:// or https://, without a user's name")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme], target


@contextlib.contextmanager
def _connection(
    scheme: str, host: str, port: int, address: str, family: int, end: float
) -> Iterator[http.client.HTTPConnection]:
    """A connection to an address, which ends at a given time whatever the server does."""
    left = max(0.001, end - time.monotonic())
    connection = http.client.HTTPConnection(host, port, timeout=left)
    connection.default_port = PORTS[scheme]
    connection.sock = socket.socket(family, socket.SOCK_STREAM)
    connection.sock.settimeout(left)
    held = [connection.sock]  # the connection lets go of it when an answer ends with the connection
    guard = threading.Timer(left, _shut, [held])
    guard.daemon = True
    guard.start()
    try:
        held[0].connect((address, port))
        if scheme == "https":
            context = ssl.create_default_context()
            held[0] = context.wrap_socket(held[0], server_hostname=host, do_handshake_on_connect=False)
            connection.sock = held[0]
            connection.sock.do_handshake()
        yield connection
    finally:
        guard.cancel()
        connection.close()
        _shut(held)


def _shut(held: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        held[0].shutdown(socket.SHUT_RDWR)
