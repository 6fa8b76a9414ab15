"""Runs the cells of `cells.py` as a notebook does, in a kernel, and prints what each shows."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

cells = Path(__file__).with_name("cells.py").read_text().split("# %%\n")
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(notebook, timeout=60, allow_errors=True).execute()
for number, cell in enumerate(notebook.cells, 1):
    for output in cell.outputs:
        shown = output.get("text") or f"{output['ename']}: {output['evalue']}"
        print(f"[{number}] {shown.strip()}")
