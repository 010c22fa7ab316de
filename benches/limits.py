#!/usr/bin/env python3
"""Measures what `docs/limits.md` says:

    cargo build --release --locked
    python3 benches/limits.py                       all of it
    python3 benches/limits.py ledger --rows 1000000 one part, smaller

It needs Python 3.10 and Linux. Everything is sent to `attrsync sandbox` on this computer. Memory is the most that was
resident (`VmHWM`), and times are those of this machine. For 100 million rows it needs 8 GB of disk in `--directory`, and
half an hour.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "ATTRSYNC_TOKEN": "a" * 64}
# Attributes, and how many values each has.
ATTRIBUTES = [
    ("city", 20_000), ("region", 3_000), ("country", 200), ("company_id", 400),
    ("score", 100), ("gender", 3), ("status", 2), ("unsubscribed", 2),
]  # fmt: skip
WORDS = {"unsubscribed": ["false", "true"]}
CHUNK = 100_000


class Bench:
    def __init__(self, program: Path, directory: Path, rows: int) -> None:
        self.program, self.directory, self.rows = program, directory, rows

    def run(self, what: str, arguments: str, expected: int = 0) -> None:
        """Runs the program, and prints its time, its memory, and its files at different times."""
        begun, before = time.monotonic(), processor_time()
        command = [self.program, *arguments.split()]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, cwd=self.directory, env=ENVIRONMENT, stdout=output, stderr=output)
            peak, samples = 0, []
            while process.poll() is None:
                memory, files = look(process.pid)
                peak = max(peak, memory.get("VmHWM", 0))
                samples.append((memory.get("VmRSS", 0), files))
                time.sleep(0.05)
            took, worked = time.monotonic() - begun, processor_time() - before
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
        headings = ("complete", "incomplete:", "stopped:", "error:", "read and planned", "note: ")
        headline = next((line for line in lines if line.startswith(headings)), "")
        times = f"{took:.1f} s ({worked:.1f} s of processor time)"
        print(f"{what}: {times}, {peak / 1000:.0f} MB, exit code {process.returncode}. {headline[:120]}")
        some = samples[:: max(1, len(samples) // 8)]
        print("    MB/open files: " + " ".join(f"{memory / 1000:.0f}/{files}" for memory, files in some))
        if process.returncode != expected:
            sys.exit("\n".join(lines[-30:]))

    def size(self, name: str) -> None:
        print(f"    {name}: {(self.directory / name).stat().st_size / 1e6:.1f} MB")

    @contextmanager
    def sandbox(self, flags: str = "") -> Iterator[str]:
        """A sandbox, as the flags that make `sync` use it."""
        port = free_port()
        command = [self.program, "sandbox", "--listen", f"127.0.0.1:{port}", "--rate", "1000000/s", *flags.split()]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield f"--base-url http://127.0.0.1:{port}/api/public/ --rate 1000000/s --progress never"
        finally:
            process.terminate()
            process.wait()

    def write(self, name: str, rows: Iterator[str]) -> str:
        with (self.directory / name).open("w") as file:
            file.write("user_id,attribute,value\n")
            file.writelines(rows)
        return name

    def requests(self) -> None:
        """A hundred thousand requests in a run."""
        rows = self.write("requests.csv", distinct(100_000))
        with self.sandbox() as to:
            self.run("100,000 requests", f"sync {to} {rows}")
        with self.sandbox("--latency 500ms") as to:
            self.run("1,000 in flight", f"sync {to} --concurrency 1000 --no-ledger {rows}")

    def values(self) -> None:
        """A million values, each for one user."""
        rows = self.write("values.csv", distinct(1_000_000))
        self.run("plan a million values", f"plan {rows}")
        self.run("the same, --memory 64MB", f"plan --memory 64MB {rows}")
        self.run("the same, --memory 16MB", f"plan --memory 16MB {rows}")
        with self.sandbox() as to:
            self.run("send a million requests, --memory 64MB", f"sync {to} --memory 64MB --ledger values.ledger {rows}")
        self.size("values.ledger")

    def silent(self) -> None:
        """Servers that never answer, or a byte a second, or without an end."""
        rows = self.write("silent.csv", distinct(100_000))
        answer = b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"status": "ok"}'
        for what, pieces, pause in [("no answer", [], 3600), ("a byte a second", list(answer), 1), ("no end", None, 0)]:
            port = serve(pieces, pause)
            to = f"--base-url http://127.0.0.1:{port}/api/public/ --timeout 2s --max-outage 5s --no-ledger"
            self.run(what, f"sync {to} --progress never {rows}", expected=4)

    def failed(self) -> None:
        """A million rows that fail, or are invalid."""
        rows = self.write("failed.csv", (f"{i},country,Country {i // 10_000}\n" for i in range(1, 1_000_001)))
        for unknown, ways in [(1_000, ("naming", "unnamed")), (10_000, ("unnamed", "not-found"))]:
            step = 1_000_000 // unknown
            ids = "".join(f"{i}\n" for i in range(step // 2, 1_000_001, step))
            (self.directory / "unknown.txt").write_text(ids)
            for way in ways:
                with self.sandbox(f"--reject-ids {self.directory}/unknown.txt --reject {way}") as to:
                    what = f"{unknown:,} of a million users unknown, {way}"
                    self.run(what, f"sync {to} --no-ledger {rows}", expected=1)
        with self.sandbox("--users 10") as to:
            self.run("a million unknown users", f"sync {to} --memory 64MB --no-ledger {rows}", expected=1)
        self.size("failures.csv")
        fewer = self.write("fewer.csv", (f"{i},country,Country {i // 10_000}\n" for i in range(1, 100_001)))
        with self.sandbox("--users 10 --reject not-found") as to:
            self.run("100,000 unknown users, not-found", f"sync {to} --memory 64MB --no-ledger {fewer}", expected=1)
        self.size("failures.csv")
        rows = self.write("invalid.csv", (f"{i},gender,none {i % 5}\n" for i in range(1, 1_000_001)))
        self.run("a million invalid rows", f"sync --sandbox --memory 64MB {rows}", expected=3)
        self.size("failures.csv")

    def ledger(self) -> None:
        """A ledger, with `--memory 64MB`."""
        first, second = (self.write(f"rows-{salt}.csv", nightly(self.rows, salt)) for salt in (1, 2))
        flags = "--memory 64MB --ledger big.ledger"
        with self.sandbox() as to:
            self.run(f"send {self.rows:,} rows", f"sync {to} {flags} {first}")
            self.size("big.ledger")
            self.run("--only-changed, none has", f"sync {to} {flags} --only-changed --max-changes 10% {first}")
            self.run("plan --only-changed, most have", f"plan {to.partition(' --rate')[0]} {flags} --only-changed {second}")
            self.run("history user", "history user 4711 --ledger big.ledger")
            self.run("send other values, and compact", f"sync {to} {flags} {second}")
            self.size("big.ledger")
            self.run("undo", "undo 3 --ledger big.ledger --output undo.csv")
            self.size("undo.csv")
            little = flags.replace("64MB", "16MB")
            self.run("send the first values, and compact, --memory 16MB", f"sync {to} {little} {first}")

    def pull(self) -> None:
        """Reading all users, with `--memory 64MB`."""
        with self.sandbox("--users 1250000 --page-size 1000") as to:
            self.run("pull 1,250,000 users", f"pull {to} --ledger pulled.ledger --memory 64MB")
        self.size("pulled.ledger")


def distinct(rows: int) -> Iterator[str]:
    return (f"{i},first_name,Person {i}\n" for i in range(1, rows + 1))


def nightly(rows: int, salt: int) -> Iterator[str]:
    """Each user with all attributes, in no order."""
    # A prime that divides no number of rows that anybody asks for: each row comes once.
    step = 1_000_000_007
    for start in range(0, rows, CHUNK):
        chunk = []
        for number in range(start, min(start + CHUNK, rows)):
            row = number * step % rows
            name, count = ATTRIBUTES[row % len(ATTRIBUTES)]
            value = (row * 2_654_435_761 + salt * 40_503 >> 7) % count
            chunk.append(f"{row // len(ATTRIBUTES) + 1},{name},{WORDS[name][value] if name in WORDS else value + 1}\n")
        yield "".join(chunk)


def look(pid: int) -> tuple[dict[str, int], int]:
    """The memory of a process in kB, and how many files it has open."""
    try:
        fields = (line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        memory = {name: int(value.split()[0]) for name, value in fields if value.endswith("kB")}
        return memory, len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return {}, 0


def processor_time() -> float:
    """That of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port: int) -> None:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)


def serve(pieces: list[int] | None, pause: float) -> int:
    """A server that answers each connection with these bytes, or without an end, and is slow."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(1 << 16)
            if pieces is None:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    connection.sendall(b"x" * (1 << 16))
            for piece in pieces:
                connection.sendall(bytes([piece]))
                time.sleep(pause)
            time.sleep(pause)
        except OSError:
            pass

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main() -> None:
    parts = ["requests", "values", "silent", "failed", "ledger", "pull"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--rows", type=int, default=100_000_000, help="rows for the ledger")
    parser.add_argument("--attrsync", type=Path, default=HERE.parent / "target" / "release" / "attrsync")
    parser.add_argument("--directory", type=Path, help="for data and ledgers; by default a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        bench = Bench(arguments.attrsync.resolve(), Path(directory), arguments.rows)
        for part in arguments.parts or parts:
            if part not in parts:
                parser.error(f"{part}: not one of {', '.join(parts)}")
            print(f"== {part}", flush=True)
            getattr(bench, part)()


if __name__ == "__main__":
    main()
