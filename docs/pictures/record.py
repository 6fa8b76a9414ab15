#!/usr/bin/env python3
"""Records a session of the demo in a terminal and draws it as an animated SVG.

    cargo build --release && python3 docs/pictures/record.py

Runs the commands below with the msx of `target/release` (or of the folder that is its argument), each in a
pseudo-terminal, keeps what the screen showed and
when, and writes `session.svg` beside this file. Nothing in the picture is made up, only waits are shortened.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from codecs import getincrementaldecoder
from html import escape
from pathlib import Path

COMMANDS = ["msx up -d --wait", "msx call my_func 1 2", "msx scale a=2", "msx ps"]
AFTERWARDS = ["msx", "down"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COLUMNS, ROWS = 100, 32

TYPING_S, PAUSE_S_MAX, REST_S = 0.6, 0.5, 6.0  # before a command runs; longest wait shown; before it begins anew
SAMPLE_S = 0.04  # screens that follow each other faster are one

FONT_PX, CHAR_PX, LINE_PX, MARGIN_PX = 13, 7.8, 18, 16
COLOURS = {31: "#f7768e", 32: "#9ece6a", 33: "#e0af68", 34: "#7aa2f7", 35: "#bb9af7", 36: "#7dcfff"}

Style = tuple[bool, bool, int]  # bold, dim, colour
Cell = tuple[str, Style]
Row = tuple[Cell, ...]
PLAIN: Style = (False, False, 0)


class Screen:
    """As much of a terminal as msx uses: colours, moves up and down, erased lines, wrapping."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = [[]]
        self.row = self.column = 0
        self.style = PLAIN

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", text, re.DOTALL):
            if part.startswith("\x1b["):
                self._control(part[2:-1], part[-1])
            elif part == "\n":
                self._down(1)
            elif part == "\r":
                self.column = 0
            elif part.isprintable():
                self._put(part)

    def _put(self, char: str) -> None:
        if self.column == COLUMNS:
            self._down(1)
            self.column = 0
        row = self.rows[self.row]
        row.extend([(" ", PLAIN)] * (self.column + 1 - len(row)))
        row[self.column] = (char, self.style)
        self.column += 1

    def _down(self, count: int) -> None:
        self.row += count
        self.rows.extend([] for _ in range(self.row + 1 - len(self.rows)))

    def _control(self, numbers: str, verb: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if verb == "A":
            self.row = max(0, self.row - count)
        elif verb == "B":
            self._down(count)
        elif verb == "K":
            del self.rows[self.row][0 if numbers == "2" else self.column :]
        elif verb == "m":
            for number in numbers.split(";"):
                self._paint(int(number or 0))

    def _paint(self, number: int) -> None:
        bold, dim, colour = self.style
        if number == 0:
            self.style = PLAIN
        elif number == 1:
            self.style = (True, dim, colour)
        elif number == 2:
            self.style = (bold, True, colour)
        elif number in COLOURS:
            self.style = (bold, dim, number)

    def shown(self) -> list[Row]:
        return [tuple(row) for row in self.rows]


class Recording:
    """What each row showed, and from when on."""

    def __init__(self) -> None:
        self.screen = Screen()
        self.now = 0.0
        self.rows: list[list[tuple[float, Row]]] = []

    def feed(self, text: str, after: float) -> None:
        self.now += min(after, PAUSE_S_MAX)
        self.screen.feed(text)
        for at, row in enumerate(self.screen.shown()):
            if at == len(self.rows):
                self.rows.append([])
            past = self.rows[at]
            if past and self.now - past[-1][0] < SAMPLE_S:
                past.pop()
            if not past or past[-1][1] != row:
                past.append((self.now, row))

    def type(self, command: str) -> None:
        self.feed(f"\x1b[36m$\x1b[0m \x1b[1m{command}\x1b[0m\r\n", TYPING_S)

    def run(self, command: list[str]) -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execvp(command[0], command)
        last, pending, decoder = time.monotonic(), "", getincrementaldecoder("utf-8")()
        while chunk := read(terminal):
            whole, pending = whole_controls(pending + decoder.decode(chunk))
            self.feed(whole, time.monotonic() - last)
            last = time.monotonic()
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{self.text()}")

    def text(self) -> str:
        return "\n".join("".join(char for char, _ in row) for row in self.screen.shown())


def whole_controls(text: str) -> tuple[str, str]:
    """The text, and a control sequence at its end that has only begun."""
    begun = re.search(r"\x1b(\[[0-9;?]*)?$", text)
    return (text[: begun.start()], begun[0]) if begun else (text, "")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


# --- drawing ------------------------------------------------------------------------------------------------


def draw(recording: Recording) -> str:
    width = round(COLUMNS * CHAR_PX + 2 * MARGIN_PX)
    height = len(recording.rows) * LINE_PX + 2 * MARGIN_PX
    length = recording.now + REST_S
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT_PX}" fill="#c0caf5">',
        "<title>The demo: msx up, msx call, msx scale, msx ps</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#1a1b26"/>',
        f'<set id="all" attributeName="x" to="0" begin="0s;all.end" dur="{length:.2f}s"/>',
    ]
    for at, past in enumerate(recording.rows):
        for number, (begin, row) in enumerate(past):
            last = number + 1 == len(past)
            end = length if last else past[number + 1][0]
            lines.extend(draw_row(at, row, begin, end, last))
    return "\n".join([*lines, "</svg>", ""])


def draw_row(at: int, row: Row, begin: float, end: float, last: bool) -> list[str]:
    """Where nothing moves (a printer, an old viewer) the last screen is shown."""
    if not "".join(char for char, _ in row).strip():
        return []
    y = MARGIN_PX + at * LINE_PX + FONT_PX
    hidden = "" if last else ' visibility="hidden"'
    first = f'<set attributeName="visibility" to="hidden" begin="all.begin" end="all.begin+{begin:.2f}s"/>'
    later = f'<set attributeName="visibility" to="visible" begin="all.begin+{begin:.2f}s" end="all.begin+{end:.2f}s"/>'
    return [f'<g{hidden}>{first if last else later}{"".join(spans(row, y))}</g>']


def spans(row: Row, y: int) -> list[str]:
    """Each stretch of one style stands at its own column, so that no font can shift it."""
    drawn, column = [], 0
    while column < len(row):
        style = row[column][1]
        end = column
        while end < len(row) and row[end][1] == style:
            end += 1
        text = "".join(char for char, _ in row[column:end])
        for word in re.finditer(r"\S+(?: \S+)*", text):
            x = MARGIN_PX + (column + word.start()) * CHAR_PX
            length = len(word[0]) * CHAR_PX
            drawn.append(
                f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{attributes(style)}>{escape(word[0])}</text>'
            )
        column = end
    return drawn


def attributes(style: Style) -> str:
    bold, dim, colour = style
    weight = ' font-weight="bold"' if bold else ""
    faint = ' opacity="0.6"' if dim else ""
    fill = f' fill="{COLOURS[colour]}"' if colour else ""
    return weight + faint + fill


def main() -> None:
    os.chdir(ROOT)
    binaries = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "release").resolve()
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    os.environ["TERM"] = "xterm-256color"
    recording = Recording()
    try:
        for command in COMMANDS:
            recording.type(command)
            recording.run(command.split())
    finally:
        Recording().run(AFTERWARDS)
    (HERE / "session.svg").write_text(draw(recording), encoding="utf-8")
    print(recording.text())


if __name__ == "__main__":
    main()
