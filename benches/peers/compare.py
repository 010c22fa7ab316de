#!/usr/bin/env python3
"""Planning, against two of the fastest engines there are for such a job: DuckDB and Polars.

    pip install duckdb polars                                   and Python 3.10
    python3 benches/peers/compare.py                            ten million rows of each shape
    python3 benches/peers/compare.py --rows 1000000 --shape skinny
    python3 benches/peers/compare.py --memory 64MB 256MB        with bounded memory as well
    python3 benches/peers/compare.py --check                    small; compares whole plans and measures nothing

What is measured: the way from a CSV file of (user_id, attribute, value) to what is to be sent. For each user and
attribute the last row wins; users that get the same value of an attribute make a group, of which the ids are kept; and
a group takes a request for each thousand ids.

  attrsync   `attrsync plan --format json`. It also checks every value, counts conflicts, sorts the ids of each group,
             finds the largest groups, and remembers every row that is wrong, none of which the peers are asked for.
  DuckDB     `with_duckdb.py`: the last value by `arg_max`, then `list(user_id)`.
  Polars     `with_polars.py`: `unique(keep="last")`, then a list of ids.
  bare loop  `benches/bare.rs`: the csv crate reads every record, and nothing is done with it. The yardstick.

How: each is a process of its own with all the threads that it likes to use, so that starting up, reading the file and
freeing memory count. They run in turns, once to warm up and then five times; what is shown are medians, and ratios to
the bare loop and to attrsync. Times between one hour and the next differ on most machines; ratios hardly do.

Memory is the most that was resident, as the system says it when a process ends; it never says less than the fifteen MiB
or so that Python, which starts them all, takes itself. With `--memory SIZE` attrsync and DuckDB also run bounded to
that size, both with temporary files. Polars knows no such bound. Where DuckDB gives up for want of memory, that is
shown, and is no error.

All have to agree on how many rows stand, and how many groups and requests they make; if not, it is an error. `--check`
compares every id of every group as well.

The data: deterministic by `--seed`, made by DuckDB (`data.py`), and kept in `target/peers` for the next time.

  nightly    eight attributes with few distinct values each (2 to 20,000), some of them quoted, users in random order
  skinny     first names, last names and phone numbers: many values, or a value for each user; ten million rows make
             nearly four million groups

In both, 2% of the rows set again what an earlier row has set.

Cargo builds what is not named by `--attrsync` and `--bare`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHAPES = ("nightly", "skinny")
DATA = ROOT / "target" / "peers"
ROWS = 10_000_000
ROWS_TO_CHECK = 100_000
RUNS = 5


class Answer(NamedTuple):
    """What a plan comes to."""

    standing: int
    groups: int
    requests: int


class Run(NamedTuple):
    """How a process went."""

    seconds: float
    peak_bytes: int
    output: str


class Failed(Exception):
    """A process did not end well."""


@dataclass
class Entrant:
    """A program, what it says of a file, and how long that took."""

    name: str
    command: list[str | Path]
    # None for who plans nothing.
    answer: Callable[[str], Answer] | None
    # Arguments with which it says all, a JSON object with `attribute`, `value` and `ids` in a line.
    in_full: list[str]
    may_run_out_of_memory: bool = False
    runs: list[Run] = field(default_factory=list)
    gave_up: bool = False

    def run(self, file: Path, *arguments: str) -> Run | None:
        """Runs on a file; None if that takes more memory than it may have."""
        if self.gave_up:
            return None
        try:
            return measured([*self.command, *arguments, file])
        except Failed as failure:
            if not self.may_run_out_of_memory or "Out of Memory Error" not in str(failure):
                raise
            self.gave_up = True
            return None


def measured(command: list[str | Path]) -> Run:
    """Runs a command to its end, away from this project's settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTRSYNC_")}
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE, cwd=directory, env=environment)
        errors = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        said.seek(0)
        output = said.read().decode()
    if process.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise Failed(f"`{words}` ended with {process.returncode}:\n{output}{errors}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * unit, output)


def answer_of_attrsync(output: str) -> Answer:
    plan = json.loads(output)
    return Answer(plan["totals"]["standing"], plan["totals"]["groups"], plan["requests"])


def answer_of_peer(output: str) -> Answer:
    return Answer(**json.loads(output))


def entrants_of(attrsync: Path, bare: Path | None, memory: list[str]) -> list[Entrant]:
    """Who takes part; without the bare loop where there is nothing to measure."""
    plan = [attrsync, "plan", "--format", "json"]
    duckdb = [sys.executable, HERE / "with_duckdb.py"]
    polars = [sys.executable, HERE / "with_polars.py"]
    bodies, groups = ["--bodies", "-"], ["--groups"]
    found = [
        Entrant("attrsync", plan, answer_of_attrsync, bodies),
        Entrant("DuckDB", duckdb, answer_of_peer, groups),
        Entrant("Polars", polars, answer_of_peer, groups),
    ]
    if bare is not None:
        found.insert(0, Entrant("bare csv loop", [bare], None, []))
    for size in memory:
        bound = ["--memory", size]
        found.append(Entrant(f"attrsync in {size}", [*plan, *bound], answer_of_attrsync, bodies))
        found.append(Entrant(f"DuckDB in {size}", [*duckdb, *bound], answer_of_peer, groups, may_run_out_of_memory=True))
    return found


def agreed(answers: dict[str, Answer]) -> Answer:
    """The answer that all give."""
    if len(set(answers.values())) != 1:
        lines = [f"  {name}: {answer}" for name, answer in answers.items()]
        raise SystemExit("\n".join(["error: the answers differ:", *lines]))
    return next(iter(answers.values()))


def compare(entrants: list[Entrant], file: Path, rows: int, runs: int) -> Answer:
    """Runs all in turns, once and then this many times, and returns what they agree on."""
    answers: dict[str, Answer] = {}
    for number in range(1 + runs):
        for entrant in entrants:
            run = entrant.run(file)
            if run is None:
                continue
            if entrant.answer is None:
                if int(run.output) != rows:
                    raise SystemExit(f"error: {entrant.name} found {run.output.strip()} records, not {rows}")
            else:
                answers[f"{entrant.name}, run {number}"] = entrant.answer(run.output)
            if number > 0:
                entrant.runs.append(run)
    return agreed(answers)


def check(entrants: list[Entrant], file: Path) -> None:
    """Compares whole plans."""
    first = None
    for entrant in entrants:
        run = entrant.run(file, *entrant.in_full)
        if run is None:
            continue
        groups = groups_of(run.output)
        first = first or groups
        for group in first.keys() | groups.keys():
            if first.get(group) != groups.get(group):
                raise SystemExit(f"error: {entrant.name} and {entrants[0].name} differ in the ids of {group}")


def groups_of(output: str) -> dict[tuple[str, str], list[int]]:
    """The ids of each group, by attribute and value."""
    groups: dict[tuple[str, str], list[int]] = {}
    for line in output.splitlines():
        batch = json.loads(line)
        groups.setdefault((batch["attribute"], batch["value"]), []).extend(batch["ids"])
    return groups


def table(entrants: list[Entrant]) -> str:
    """Medians, and how they compare."""
    medians = {c.name: statistics.median(run.seconds for run in c.runs) for c in entrants if c.runs}
    lines = [f"{'':24} {'wall s':>8} {'x bare':>8} {'x attrsync':>11} {'peak MiB':>9}"]
    for entrant in entrants:
        if not entrant.runs:
            lines.append(f"{entrant.name:24} {'needs more memory':>39}")
            continue
        seconds = medians[entrant.name]
        peak = statistics.median(run.peak_bytes for run in entrant.runs) / 2**20
        bare, attrsync = seconds / medians["bare csv loop"], seconds / medians["attrsync"]
        lines.append(f"{entrant.name:24} {seconds:8.2f} {bare:8.2f} {attrsync:11.2f} {peak:9.0f}")
    return "\n".join(lines)


def built(name: str, *command: str) -> Path:
    """Has cargo build an executable, and returns where it lies."""
    arguments = ["cargo", *command, "--locked", "--message-format", "json-render-diagnostics"]
    output = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return Path(message["executable"])
    raise SystemExit(f"error: cargo built no `{name}`")


def made(shape: str, rows: int, seed: int, directory: Path) -> Path:
    """The data, written if it is not there."""
    file = directory / f"{shape}-{rows}-{seed}.csv"
    if not file.exists():
        print(f"writing {file}", flush=True)
        # In a process of its own: whatever this one takes counts as taken by all that it starts.
        command = [sys.executable, HERE / "data.py", shape, str(rows), str(seed), file]
        subprocess.run(command, check=True)
    return file


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help=f"{ROWS:,} by default; with --check {ROWS_TO_CHECK:,}")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="both by default")
    parser.add_argument("--memory", metavar="SIZE", nargs="+", default=[], help="bounds to run under as well: 64MB")
    parser.add_argument("--runs", type=int, default=RUNS, help="after the one that warms up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="only compare the plans")
    parser.add_argument("--attrsync", type=Path, metavar="PATH", help="a release build, instead of building one")
    parser.add_argument("--bare", type=Path, metavar="PATH", help="a build of benches/bare.rs, likewise")
    parser.add_argument("--data", type=Path, metavar="DIR", default=DATA, help="where data is kept")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    rows = options.rows or (ROWS_TO_CHECK if options.check else ROWS)
    attrsync = (options.attrsync or built("attrsync", "build", "--release", "--bin", "attrsync")).resolve()
    bare = None
    if not options.check:
        bare = (options.bare or built("bare", "bench", "--bench", "bare", "--no-run")).resolve()
    options.data.mkdir(parents=True, exist_ok=True)
    for shape in options.shape or SHAPES:
        file = made(shape, rows, options.seed, options.data.resolve())
        entrants = entrants_of(attrsync, bare, options.memory)
        answer = compare(entrants, file, rows, 0 if options.check else options.runs)
        print(f"{shape}: {rows:,} rows, {file.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} processors")
        if options.check:
            check(entrants, file)
        else:
            print(table(entrants))
        names = [entrant.name for entrant in entrants if entrant.answer and not entrant.gave_up]
        print(f"{answer.standing:,} rows stand in {answer.groups:,} groups, which take {answer.requests:,} requests,")
        print(f"say {', '.join(names)}")
        for entrant in entrants:
            if entrant.gave_up:
                print(f"{entrant.name} gave up for want of memory")
        print(flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"error: {failure}")
