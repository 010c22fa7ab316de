#!/usr/bin/env python3
"""Makes docs/example-report.html, the page of a run in the sandbox in which things go wrong, and docs/report.png.

    cargo build --release
    python3 docs/report.py [PROGRAM]

Needs Python 3.10, and Chromium for the picture, which otherwise stays as it is. Which users don't exist and which requests
fail is the same each time. Times are not.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "target/release/attrsync").resolve()
PAGE, PICTURE = HERE / "example-report.html", HERE / "report.png"

ADDRESS = "127.0.0.1:8099"
SANDBOX = f"--listen {ADDRESS} --rate 10/s --latency 80ms --error-rate 3% --drop-rate 1% --reject-ids gone.txt --seed 7"
SYNC = f"--base-url http://{ADDRESS}/api/public/ --rate 11/s --no-ledger --verify 20 --timeout 3s --report run.html"

MISTAKES = """\
31,gender,female
32,gender,male
33,colour,red
"""


def users(directory: Path) -> None:
    """The fixture with three mistakes, and a list of users of it that the sandbox doesn't know."""
    text = (HERE.parent / "fixtures/users.csv").read_text()
    (directory / "users.csv").write_text(text + MISTAKES)
    ids = sorted(set(re.findall(r"^(\d{5}),", text, re.MULTILINE)))
    (directory / "gone.txt").write_text("\n".join(ids[50::400]) + "\n")


def run(directory: Path) -> None:
    """A run in the middle of which the API answers nobody for a while."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    sandbox = subprocess.Popen([PROGRAM, "sandbox", *SANDBOX.split()], cwd=directory, **quiet)
    try:
        time.sleep(1)
        key = {"ATTRSYNC_TOKEN": "a-key-for-the-sandbox"}
        sync = subprocess.Popen([PROGRAM, "sync", *SYNC.split(), "users.csv"], cwd=directory, env=key)
        time.sleep(20)
        sandbox.send_signal(signal.SIGSTOP)
        time.sleep(12)
        sandbox.send_signal(signal.SIGCONT)
        if sync.wait(300) != 1:
            raise SystemExit("the run did not end as expected")
    finally:
        sandbox.kill()


def picture(page: Path) -> None:
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if browser is None:
        print(f"no Chromium: {PICTURE} stays as it is", file=sys.stderr)
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,760"]
    subprocess.run([browser, *flags, f"--screenshot={PICTURE}", page.as_uri()], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        users(directory)
        run(directory)
        shutil.copyfile(directory / "run.html", PAGE)
    picture(PAGE)


main()
