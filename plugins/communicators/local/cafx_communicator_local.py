"""Communicator among processes of one machine, without MPI: sockets to agree, shared memory for arrays."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.net import ROOT, Communicator

if TYPE_CHECKING:
    from cafx.conformance.kinds.communicator import CommunicatorCase

UID_BYTES = 128
LEAST_UID = 16
SLOT = 1 << 20
"""Bytes of an array that are exchanged at a time."""
MOST_BYTES = 1 << 30
"""Of one process's data in `Local.gather`."""
LONGEST_PATH = 100
"""Bytes of a socket's path, which systems limit."""
JOIN_SECONDS = 300.0
POLL_SECONDS = 0.05
SHARED_MEMORY = Path("/dev/shm")
VARIABLES = ("CAFX_LOCAL_UID", "CAFX_LOCAL_RANK", "CAFX_LOCAL_SIZE")
HELLO = struct.Struct("<ii")
TASKS = {b"s": "sums up", b"b": "broadcasts", b"g": "gathers", b"w": "waits"}
"""What processes do together, by the first byte of their messages."""


def new_uid() -> bytes:
    """The address and secret of a group of processes that is to meet: whoever knows it may join."""
    return secrets.token_bytes(UID_BYTES)


class Local(Communicator):
    """Processes of one user on one machine, which somebody has started with one common secret.

    They meet at a socket in a folder that only this user may enter, prove to each other that they know the secret,
    and send no pickled objects. Arrays go by shared memory: each process sums its part of them over all ranks in
    order, so all get the same bits.

    Args:
        uid: the secret, as of `new_uid`; this and the others are by default what the environment variables
            CAFX_LOCAL_UID (in hexadecimal digits), CAFX_LOCAL_RANK and CAFX_LOCAL_SIZE say.
        rank, size: number of this process, and of all of them.
        seconds: how long to wait for the others.

    Raises:
        CafxError: uid, rank or size are missing or wrong, or the others do not come.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> uid = new_uid()
        >>> def work(rank):
        ...     ranks, values = Local(uid, rank, 2), np.full(3, rank + 1.0)
        ...     ranks.allreduce(values)
        ...     return values.tolist(), ranks.gather(bytes([rank]))
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(pool.map(work, range(2)))
        [([3.0, 3.0, 3.0], [b'\\x00', b'\\x01']), ([3.0, 3.0, 3.0], [b'\\x00', b'\\x01'])]
    """

    name: ClassVar[str] = "local"

    def __init__(
        self, uid: bytes | None = None, rank: int | None = None, size: int | None = None, seconds: float = JOIN_SECONDS
    ) -> None:
        self._links: list[Connection] = []
        uid, self.rank, self.size = _stated(uid, rank, size)
        if not hasattr(socket, "AF_UNIX"):
            raise CafxError("no sockets for processes of one machine here", remedy="use the communicator mpi")
        deadline = time.monotonic() + seconds
        folder = Path(tempfile.gettempdir()) / f"cafx-{hashlib.sha256(uid).hexdigest()[:16]}"
        if len(os.fsencode(folder / "meet")) > LONGEST_PATH:
            raise CafxError("the path of temporary files is too long", found=folder.parent, remedy="set TMPDIR")
        if self.is_root:
            self._memory = self._receive(folder, uid, deadline)
        else:
            self._memory = self._join(folder, uid, deadline)
        self.barrier()

    # -- meeting

    def _receive(self, folder: Path, uid: bytes, deadline: float) -> mmap.mmap:
        """Wait for the other ranks, and send them the path of the shared memory."""
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError as error:
            raise CafxError("these processes have met already", found=folder, remedy="make a new uid") from error
        shared = (SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else folder) / f"{folder.name}-{os.getpid()}"
        try:
            memory = _shared_memory(shared, os.O_CREAT | os.O_EXCL, SLOT * (self.size + 1))
            with Listener(str(folder / "meet"), "AF_UNIX", backlog=self.size, authkey=uid) as listener:
                found = self._found(listener, deadline)
                self._links = [found[rank] for rank in range(1, self.size)]
            for link in self._links:
                link.send_bytes(os.fsencode(shared))
            for link in self._links:
                self._received(link)
        finally:
            shared.unlink(missing_ok=True)
            (folder / "meet").unlink(missing_ok=True)
            folder.rmdir()
        return memory

    def _found(self, listener: Listener, deadline: float) -> dict[int, Connection]:
        """The other ranks' connections."""
        found: dict[int, Connection] = {}
        refused: list[str] = []
        every: list[Connection] = []

        def accept() -> None:
            while len(found) + 1 < self.size and not refused:
                try:
                    link: Any = listener.accept()
                    every.append(link)
                    rank, size = HELLO.unpack(link.recv_bytes(HELLO.size))
                except (AuthenticationError, EOFError, ConnectionError, struct.error):
                    continue  # somebody who does not know the secret
                except OSError:
                    return  # nobody waits any longer
                if size != self.size or rank in found or not 0 < rank < size:
                    refused.append(f"rank {rank} of {size}")
                found[rank] = link

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(POLL_SECONDS)
        missing = [str(rank) for rank in range(1, self.size) if rank not in found]
        if not refused and not missing:
            return found
        for link in every:
            link.close()
        if refused:
            raise CafxError("a process is not one of these", found=refused[0], expected=f"ranks 1 to {self.size - 1}")
        raise CafxError("processes have not come", found=f"no rank {', '.join(missing)}", where="rank 0")

    def _join(self, folder: Path, uid: bytes, deadline: float) -> mmap.mmap:
        """Find rank 0, and the shared memory."""
        while True:
            try:
                link: Any = Client(str(folder / "meet"), "AF_UNIX", authkey=uid)
                break
            except (FileNotFoundError, ConnectionError) as error:
                if time.monotonic() > deadline:
                    raise CafxError("rank 0 has not come", where=f"rank {self.rank}") from error
                time.sleep(POLL_SECONDS)
        self._links = [link]
        self._sent(link, HELLO.pack(self.rank, self.size))
        path = Path(os.fsdecode(self._received(link)))
        memory = _shared_memory(path, 0, SLOT * (self.size + 1))
        self._sent(link, b"")
        return memory

    # -- messages

    def _sent(self, link: Connection, data: bytes) -> None:
        try:
            link.send_bytes(data)
        except OSError as error:
            raise self._ended() from error

    def _received(self, link: Connection) -> bytes:
        try:
            return link.recv_bytes(MOST_BYTES)
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def _ended(self) -> CafxError:
        self.close()  # so that the others see it as well
        return CafxError("another process has ended", where=f"rank {self.rank}", remedy="see its own error")

    def _together(self, task: bytes, data: bytes = b"") -> list[bytes]:
        """Exchange data of all ranks, who have to do the same.

        Raises:
            CafxError: another process has ended, or does something else.
        """
        if not self._links and self.size > 1:
            raise self._ended()
        if not self.is_root:
            self._sent(self._links[0], task + data)
            return [self._checked(task, self._received(self._links[0])) for _ in range(self.size)]
        every = [task + data, *(self._received(link) for link in self._links)]
        for link, own in zip(self._links, every[1:], strict=True):
            for each in [each for each in every if each[:1] != own[:1]][:1] or every:  # one that differs is enough
                self._sent(link, each)
        return [self._checked(task, each) for each in every]

    def _checked(self, task: bytes, message: bytes) -> bytes:
        if message[:1] != task:
            self.close()
            found = " and ".join(
                f"one {TASKS.get(each, 'does something else')}" for each in sorted((task, message[:1]))
            )
            raise CafxError("processes do different things", where=f"rank {self.rank}", found=found)
        return message[1:]

    # -- what all ranks do

    def allreduce(self, array: Any) -> None:
        """See `Communicator`."""
        self._exchange(array, self._sum)

    def broadcast(self, array: Any) -> None:
        """See `Communicator`."""
        self._exchange(array, self._send)

    def gather(self, data: bytes) -> list[bytes]:
        """See `Communicator`."""
        return self._together(b"g", data)

    def barrier(self) -> None:
        """See `Communicator`."""
        self._together(b"w")

    def abort(self, status: int = 1) -> None:
        """End this process; the others end by an error when they next turn to it."""
        self.close()
        os._exit(status)

    def close(self) -> None:
        """See `Communicator`."""
        for link in self._links:
            link.close()
        self._links = []

    def _exchange(self, array: Any, change: Callable[[npt.NDArray[Any]], None]) -> None:
        """Change an array piece by piece, by way of the host where it is on a device."""
        host = isinstance(array, np.ndarray)
        values = array if host else array.get()
        most = SLOT // values.dtype.itemsize
        for first in range(0, values.size, most):
            change(values[first : first + most])
        if not host:
            array.set(values)

    def _slot(self, number: int, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.frombuffer(self._memory, like.dtype, like.size, SLOT * number)

    def _sum(self, values: npt.NDArray[Any]) -> None:
        """Sum of up to a slot's values; the last slot is for results."""
        self._slot(self.rank, values)[...] = values
        self._together(b"s")
        bounds = [values.size * rank // self.size for rank in (self.rank, self.rank + 1)]
        parts = [self._slot(rank, values)[slice(*bounds)] for rank in range(self.size)]
        total, result = parts[0].copy(), self._slot(self.size, values)
        for part in parts[1:]:
            total += part
        result[slice(*bounds)] = total
        self._together(b"s")
        values[...] = result

    def _send(self, values: npt.NDArray[Any]) -> None:
        sent = self._slot(ROOT, values)  # not the results', which others may still be reading
        if self.is_root:
            sent[...] = values
        self._together(b"b")
        values[...] = sent
        self._together(b"b")

    @classmethod
    def cases(cls) -> Iterable[CommunicatorCase]:
        """Processes of this machine."""
        from cafx.conformance.kinds.communicator import CommunicatorCase

        yield CommunicatorCase("processes", _started, lambda: None if hasattr(socket, "AF_UNIX") else "no sockets here")


def _stated(uid: bytes | None, rank: int | None, size: int | None) -> tuple[bytes, int, int]:
    """What is given, else what the environment says.

    Raises:
        CafxError: something is missing or not what it should be.
    """
    try:
        secret, number, count = (os.environ.get(each, "") for each in VARIABLES)
        uid = bytes.fromhex(secret) if uid is None else bytes(uid)
        rank, size = int(number) if rank is None else rank, int(count) if size is None else size
    except (ValueError, TypeError) as error:
        remedy = f"set {', '.join(VARIABLES)} for each process; `cafx launch` uses MPI and needs none of them"
        raise CafxError("uid, rank or number of processes missing", remedy=remedy) from error
    if len(uid) < LEAST_UID or not 0 <= rank < size:
        found = f"rank {rank} of {size}, a uid of {len(uid)} bytes"
        raise CafxError("no group of processes", found=found, expected=f"0 ≤ rank < size, {LEAST_UID} bytes or more")
    return uid, rank, size


def _shared_memory(path: Path, flags: int, nbytes: int) -> mmap.mmap:
    """Map a file, of zeros if it is made here.

    Raises:
        CafxError: there is no room for it.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
        try:
            if flags:
                os.write(handle, bytes(nbytes))
            return mmap.mmap(handle, nbytes)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        raise CafxError("no shared memory", found=str(error), where=str(path)) from error


def _started(size: int, program: str) -> tuple[str, list[int]]:
    """Run a program as several ranks, for the conformance suite; their output and exit codes."""
    import subprocess
    import sys

    uid = new_uid().hex()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **dict(zip(VARIABLES, (uid, str(rank), str(size)), strict=True))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return "".join(outputs), [process.returncode for process in processes]
