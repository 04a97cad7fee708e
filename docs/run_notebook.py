"""Run a notebook of the docs and write its outputs: `python docs/run_notebook.py docs/own-series.ipynb`.

Cells share one namespace; what they print is their output. Nothing but Python is needed.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def outputs_of(notebook: dict[str, Any]) -> list[str]:
    """What each code cell prints, run in order."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("".join(cell["source"]), "<cell>", "exec"), names)  # noqa: S102 - that is its purpose
        printed.append(out.getvalue())
    return printed


def stored_outputs(notebook: dict[str, Any]) -> list[str]:
    """What each code cell is said to print."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join("".join(each["text"]) for each in cell["outputs"]) for cell in cells]


def main(path: Path) -> None:
    """Run it and store what it prints."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    printed = iter(outputs_of(notebook))
    for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
        lines = next(printed).splitlines(keepends=True)
        stream = {"name": "stdout", "output_type": "stream", "text": lines}
        cell |= {"execution_count": number, "outputs": [stream] if lines else []}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
