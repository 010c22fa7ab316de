#!/usr/bin/env python3
"""Makes docs/run.svg: a plan and a run in the sandbox, as a terminal shows them.

    cargo build --release
    python3 docs/screen.py [PROGRAM]

Needs Python 3.10 and tmux (a Debian package), in whose terminal the program runs. The picture shows only what the program
printed; the line with the progress bar is from the middle of the run.
"""

import re
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "target/release/attrsync").resolve()

COLUMNS, ROWS = 92, 60
CELL, LINE, MARGIN, BAR = 8.43, 19, 18, 34  # widths and heights, in pixels at 14 pixels a letter
INK, GROUND, DIM = "#d7dae0", "#1e2127", "#8b929e"
COLOURS = ["#5c6370", "#f2777a", "#8ccf7e", "#e5c76b", "#7fb0f5", "#d19af0", "#67cfe0", "#d7dae0"]

NO_BREAK = "\u00a0"  # several spaces would be drawn as one

CITIES = ["Gdynia", "Brno", "Graz", "Porto", "Turku", "Ghent", "Vilnius", "Split"]
COUNTRIES = ["Poland", "Czechia", "Austria", "Portugal", "Finland", "Belgium", "Lithuania", "Croatia"]


def contacts() -> str:
    """A wide file, the same each time: 12,000 contacts, two of them with a mistake."""
    lines = ["user_id,country,city,score,gender"]
    for number in range(12_000):
        place = number * 7 % 8
        gender = "female" if number == 4_711 else number % 3 + 1
        score = "high" if number == 815 else number % 20
        lines.append(f"{1000 + number},{COUNTRIES[place]},{CITIES[place]},{score},{gender}")
    return "\n".join(lines) + "\n"


class Terminal:
    """A tmux of its own, which shows one shell."""

    def __init__(self, directory: str) -> None:
        self.tmux = ["tmux", "-L", f"attrsync-{time.time_ns()}", "-f", "/dev/null"]
        shell = f"cd '{directory}' && PATH='{PROGRAM.parent}':$PATH PS1='$ ' TERM=xterm-256color sh"
        self.call("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), shell)

    def call(self, *words: str) -> str:
        return subprocess.run([*self.tmux, *words], check=True, capture_output=True, text=True).stdout

    def run(self, command: str) -> None:
        self.call("send-keys", "clear", "Enter")
        self.until(lambda screen: screen.strip() == "$")
        self.call("send-keys", command, "Enter")

    def screen(self) -> list[str]:
        """What is shown, with colours, without empty lines at the end and without the last prompt."""
        lines = self.call("capture-pane", "-p", "-e").rstrip().split("\n")
        return lines[:-1] if plain(lines[-1]).strip() == "$" else lines

    def until(self, done) -> list[str]:
        for _ in range(2_000):
            if done(plain(self.call("capture-pane", "-p"))):
                return self.screen()
            time.sleep(0.02)
        raise TimeoutError(self.call("capture-pane", "-p"))

    def close(self) -> None:
        self.call("kill-server")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def is_over(screen: str) -> bool:
    return len(screen.split()) > 3 and screen.rstrip().endswith("\n$")


def spans(line: str):
    """The parts of a line with their style: colour, and whether it is bold."""
    colour, bold = INK, False
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if not part.startswith("\x1b"):
            if part:
                yield part, colour, bold
            continue
        for code in part[2:-1].split(";"):
            match int(code or 0):
                case 0:
                    colour, bold = INK, False
                case 1:
                    bold = True
                case 2:
                    colour = DIM
                case 22:
                    bold = False
                case number if 30 <= number <= 37:
                    colour = COLOURS[number - 30]
                case number if 90 <= number <= 97:
                    colour = COLOURS[number - 90]
                case 39:
                    colour = INK


def text(line: str, top: float) -> str:
    """One line. Each part is stretched to its cells, whatever font there is."""
    column, parts = 0, []
    for part, colour, bold in spans(line):
        start = MARGIN + column * CELL
        column += len(part)
        if not part.strip():
            continue
        weight = ' font-weight="bold"' if bold else ""
        length = f' textLength="{len(part) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
        parts.append(f'<text x="{start:.1f}" y="{top:.0f}" fill="{colour}"{weight}{length}>{escape(part).replace(" ", NO_BREAK)}</text>')
    return "".join(parts)


def svg(lines: list[str]) -> str:
    width, height = COLUMNS * CELL + 2 * MARGIN, BAR + len(lines) * LINE + MARGIN
    dots = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * n}" cy="18" r="6" fill="{colour}"/>'
        for n, colour in enumerate(["#f2777a", "#e5c76b", "#8ccf7e"])
    )
    body = "\n".join(filter(None, (text(line, BAR + 16 + n * LINE) for n, line in enumerate(lines))))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">
<title>A plan and a run of attrsync</title>
<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="9" fill="{GROUND}" stroke="#4a505c"/>
{dots}
<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14">
{body}
</g>
</svg>
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "contacts.csv").write_text(contacts())
        terminal = Terminal(directory)
        try:
            terminal.until(lambda screen: screen.strip() == "$")
            terminal.run("attrsync plan --top 2 contacts.csv")
            plan = terminal.until(is_over)
            terminal.run("attrsync sync --sandbox contacts.csv")
            half = terminal.until(lambda screen: re.search(r" [23]\d,\d{3}/4", screen))
            bar = [line for line in half if "/" in plain(line) and "rows" in plain(line)][-1:]
            end = terminal.until(is_over)
        finally:
            terminal.close()
    lines = [*plan, "", end[0], *bar, *end[1:]]
    prompt = "\x1b[32m$\x1b[0m \x1b[1m"
    (HERE / "run.svg").write_text(svg([re.sub(r"^\$ ", lambda _: prompt, line) for line in lines]))


main()
