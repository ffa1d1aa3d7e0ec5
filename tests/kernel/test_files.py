"""Files are written completely or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:  # noqa: PT012 - the block raises on purpose
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_raises_a_one_line_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.bin"
    with pytest.raises(CafxError, match=r"missing/a.bin: cannot be written: .*folder exists"), atomic_write(path):
        pass


FULL = """
import resource, signal, sys
from pathlib import Path
from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_write(Path(sys.argv[1])) as file:
        file.write(bytes(5000))
except CafxError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_raises_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"before")
    run = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "a.bin")], capture_output=True, text=True)
    assert "cannot be written: File too large" in run.stdout, run.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"before"


KILLED = """
import sys
from pathlib import Path
from cafx.kernel.files import atomic_write
path = Path(sys.argv[1])
n = 0
while True:
    n += 1
    with atomic_write(path) as file:
        for _ in range(50):
            file.write(bytes([n % 256]) * 20000)
    print(n, flush=True)
"""


@pytest.mark.slow
def test_a_file_is_complete_after_its_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for delay in (0.0, 0.003, 0.011):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        data = path.read_bytes()
        assert len(data) == 1_000_000
        assert len(set(data)) == 1
