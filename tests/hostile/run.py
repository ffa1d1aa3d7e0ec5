"""Try changed inputs on everything that reads files: each works or is refused with a CafxError.

    python tests/hostile/run.py --count 1000000 --seed 7 --out hostile
    python tests/hostile/run.py --replay Prototxt FILE…

Inputs are functions of seed, target and index. Workers try them; a worker that dies, takes too long or uses too much
memory is replaced. Each failing input is written to the folder ``--out``, beside the record from which the same
command continues after an interruption. Exit status 1: there were failing inputs.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

BATCH = 50
SECONDS = 20.0
"""What an input may take; reading a seed takes milliseconds."""
SETUP_SECONDS = 120.0
MEMORY = 1 << 30
"""What an input may add to the largest memory of its worker."""
ADDRESSES = 3 << 30
"""The address space of a worker."""
FINE = ("works", "refused")
MOST_SEEDS = 0.9
"""Some layers' cases need labels or boxes, where zeros are refused."""
RECORD = "done.jsonl"


@attrs.frozen
class Job:
    """Some inputs of a target, by index."""

    target: str
    start: int
    count: int


def jobs(count: int, shares: dict[str, int]) -> list[Job]:
    """All inputs in batches, spread over the targets by their shares and mixed."""
    whole, found = sum(shares.values()) or 1, []
    for target, share in shares.items():
        most = -(-count * share // whole)
        found += [Job(target, at, min(BATCH, most - at)) for at in range(0, most, BATCH)]
    return sorted(found, key=lambda job: job.start * whole / shares[job.target])


class Worker:
    """A process that tries inputs, one job at a time, and says what became of each."""

    def __init__(self, seed: str, scratch: Path) -> None:
        self.seed, self.scratch = seed, scratch
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, job: Job) -> Iterator[tuple[int, str]]:
        """Index and outcome of each input; a new process goes on after an input that ended one."""
        index, end = job.start, job.start + job.count
        while index < end:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(json.dumps([job.target, index, end]).encode() + b"\n")
            process.stdin.flush()
            while index < end:
                line = self._line(process)
                if not line.startswith("{"):
                    self.close()
                    yield index, line
                    index += 1
                    break
                yield index, json.loads(line)["outcome"]
                index += 1

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True)
            command = [sys.executable, __file__, "--work", str(self.scratch), "--seed", self.seed]
            with (self.scratch / "stderr").open("wb") as errors:
                self._process = subprocess.Popen(
                    command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
                )
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> str:
        """The next line of a worker, or how it ended."""
        assert process.stdout is not None
        allowed = SECONDS
        while True:
            if not select.select([process.stdout], [], [], allowed)[0]:
                process.kill()
                process.wait()
                return f"takes more than {allowed:.0f} s"
            line = process.stdout.readline().decode()
            if not line:
                status = process.wait()
                return signal.Signals(-status).name if status < 0 else f"exit status {status}"
            if line.strip() != "setup":
                return line
            allowed = SETUP_SECONDS

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def generator(seed: str, target: str, index: int) -> random.Random:
    """The generator of one input."""
    return random.Random(f"{seed} {target} {index}")


def work(scratch: Path, seed: str) -> None:
    """A worker's side: jobs as lines on the standard input, outcomes as lines on the standard output."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers.write("setup\n")
    import targets

    ready: dict[str, Any] = {}
    for line in sys.stdin:
        name, index, end = json.loads(line)
        if name not in ready:
            answers.write("setup\n")
            ready[name] = targets.ready(name, scratch / name)
        target = ready[name]
        os.chdir(target.folder)
        for each in range(index, end):
            data = target.make(generator(seed, name, each))
            (scratch / "input").write_bytes(data)
            before = peak()
            told = targets.outcome(target, data)
            if peak() - before > MEMORY:
                told = f"takes {(peak() - before) >> 20} MB"
            if told not in FINE:
                (scratch / "input").rename(failed(scratch, name, each))
            answers.write(json.dumps({"outcome": told}) + "\n")


def failed(scratch: Path, target: str, index: int) -> Path:
    """Where a worker that goes on leaves a failing input; one that was ended leaves it as ``input``."""
    return scratch / f"failed_{target}_{index}"


def _failing(scratch: Path, target: str, index: int) -> bytes:
    left = failed(scratch, target, index)
    return (left if left.exists() else scratch / "input").read_bytes()


def peak() -> int:
    """The largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Campaign:
    """All jobs of a command, and what became of them."""

    def __init__(self, out: Path, seed: str, todo: list[Job]) -> None:
        self.out, self.seed = out, seed
        out.mkdir(parents=True, exist_ok=True)
        self.record = out / RECORD
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
        done = self._done()
        for job in todo:
            if job not in done:
                self._todo.put(job)

    def _done(self) -> set[Job]:
        """The jobs on record, whose outcomes are counted."""
        found = set()
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        for line in lines:
            entry = json.loads(line)
            if entry["seed"] == self.seed:
                job = Job(*entry["job"])
                found.add(job)
                self.outcomes.update({(job.target, told): count for told, count in entry["outcomes"].items()})
        return found

    def run(self, workers: int, quiet: bool) -> None:
        """Run all jobs."""
        with tempfile.TemporaryDirectory(prefix="hostile") as scratch:
            threads = [threading.Thread(target=self._serve, args=(Path(scratch, str(at)),)) for at in range(workers)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.2)
                if not quiet:
                    print(f"\r{self.outcomes.total()} tried, {self.failures()} failed", end="", flush=True)
            print()

    def _serve(self, scratch: Path) -> None:
        worker = Worker(self.seed, scratch)
        while True:
            try:
                job = self._todo.get_nowait()
            except queue.Empty:
                worker.close()
                return
            outcomes: Counter[str] = Counter()
            for index, told in worker.run(job):
                outcomes[told] += 1
                if told not in FINE:
                    self._keep(job.target, index, told, _failing(scratch, job.target, index))
            with self._lock:
                entry = {"seed": self.seed, "job": attrs.astuple(job), "outcomes": outcomes}
                with self.record.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
                self.outcomes.update({(job.target, told): count for told, count in outcomes.items()})

    def _keep(self, target: str, index: int, told: str, data: bytes) -> None:
        stem = self.out / f"{target}_{self.seed}_{index}"
        stem.with_suffix(".input").write_bytes(data)
        stem.with_suffix(".txt").write_text(told + "\n")

    def failures(self) -> int:
        """The number of inputs that neither work nor are refused."""
        return sum(count for (_, told), count in self.outcomes.items() if told not in FINE)

    def report(self) -> str:
        """A table of outcomes by target."""
        lines = []
        for target in sorted({each for each, _ in self.outcomes}):
            told = {kind: count for (name, kind), count in self.outcomes.items() if name == target}
            others = sum(told.values()) - sum(told.get(kind, 0) for kind in FINE)
            lines.append(
                f"{target:<12} {told.get('works', 0):>8} work {told.get('refused', 0):>8} refused {others:>6} fail"
            )
        lines += sorted(f"{name}: {kind} ({n})" for (name, kind), n in self.outcomes.items() if kind not in FINE)
        return "\n".join(lines)


def replay(name: str, paths: list[Path]) -> int:
    """Run inputs from files, one JSON line for each."""
    paths = [path.resolve() for path in paths]
    with tempfile.TemporaryDirectory(prefix="hostile") as scratch:
        import targets

        target = targets.ready(name, Path(scratch, name))
        told = {str(path): targets.outcome(target, path.read_bytes()) for path in paths}
        os.chdir("/")
    for path, each in told.items():
        print(json.dumps({"path": path, "outcome": each}))
    return 0 if set(told.values()) <= set(FINE) else 1


def read_seeds() -> int:
    """Whether every target reads its seeds: else its changed inputs would test less than they seem to."""
    import targets

    wrong = 0
    with tempfile.TemporaryDirectory(prefix="hostile") as scratch:
        for name in targets.TARGETS:
            target = targets.ready(name, Path(scratch, name))
            told = Counter(targets.outcome(target, seed) for seed in target.seeds())
            print(f"{name}: {dict(told)}")
            wrong += told["works"] < MOST_SEEDS * told.total()
        os.chdir("/")
    return 1 if wrong else 0


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="number of inputs in all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--target", action="append", help="try these targets alone")
    parser.add_argument("--out", type=Path, default=Path("hostile"), help="folder for failing inputs and the record")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--replay", nargs="+", metavar=("TARGET", "FILE"), help="run these inputs")
    parser.add_argument("--seeds", action="store_true", help="read the unchanged seeds")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.work:
        work(arguments.work, arguments.seed)
        return 0
    if arguments.seeds:
        return read_seeds()
    if arguments.replay:
        return replay(arguments.replay[0], [Path(each) for each in arguments.replay[1:]])
    import targets

    chosen = arguments.target or list(targets.TARGETS)
    shares = {name: targets.TARGETS[name].share for name in chosen if arguments.target or targets.TARGETS[name].share}
    shares = {name: share or 1 for name, share in shares.items()}
    campaign = Campaign(arguments.out, arguments.seed, jobs(arguments.count, shares))
    campaign.run(arguments.workers, arguments.quiet)
    print(campaign.report())
    return 1 if campaign.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
