"""What happened, told by files: a mark is one byte that is appended, so those of all processes add up."""

import os
from pathlib import Path

FOLDER = Path(__file__).with_name("marks")


def mark(name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b".")
    os.close(file)


def marks(name: str) -> int:
    try:
        return (FOLDER / name).stat().st_size
    except FileNotFoundError:
        return 0
