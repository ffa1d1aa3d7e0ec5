"""Running the application: uvicorn, with clients that are too slow turned away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cafx.kernel import CafxError

HEADER_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 15
GRACE_SECONDS = 10
MOST_CONNECTIONS = 512
MOST_HEADER = 16 << 10
BACKLOG = 512


class JoiningTransport:
    """A transport that sends what is written in one turn of the event loop at once: header and body of an answer.

    Args:
        transport: the transport that it stands for.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; a client whose request's header does not arrive in time is disconnected."""

    seconds = HEADER_SECONDS
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(JoiningTransport(transport))  # type: ignore[arg-type]
        self._watch()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self._is_waiting():
            self._watch()
        else:
            self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._unwatch()
        super().connection_lost(exc)

    def _is_waiting(self) -> bool:
        """Whether the header of a request is incomplete."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if self.deadline is None:
            self.deadline = self.loop.call_later(self.seconds, self._close)

    def _unwatch(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _close(self) -> None:
        self.deadline = None
        if self._is_waiting() and not self.transport.is_closing():
            self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: address or name of this machine.
        port: the port; 0 for any that is free.

    Raises:
        CafxError: the port is in use, or the address is not this machine's.
    """
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(BACKLOG)
        except OSError:
            opened.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CafxError(f"cannot listen: {reason}", where=where, remedy="--port names another port") from None
    return opened


def make(application: Any, started: Callable[[], None]) -> Server:
    """The server of an application; ``run(sockets=[…])`` serves until Ctrl-C or SIGTERM, and answers what is in work.

    Args:
        application: the ASGI application.
        started: called once requests are answered.
    """
    return Server(
        uvicorn.Config(
            application,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            limit_concurrency=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=MOST_HEADER,
        ),
        started,
    )


class Server(uvicorn.Server):
    """A server that says when it has started.

    Args:
        config: uvicorn's settings.
        on_start: called then.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if not self.should_exit:
            self.on_start()
