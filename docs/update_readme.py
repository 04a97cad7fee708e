"""Write the output of `overspill run` under one policy into the README: `python docs/update_readme.py`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- output of `overspill run`, written by docs/update_readme.py -->", "<!-- end of output -->"
COMMAND = [str(Path(sys.executable).with_name("overspill")), "run", "--set", "policies=[bis_2026_01]"]


def main() -> None:
    """Run in a fresh folder and replace what stands between the two marks."""
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S603
    lines = [line.rstrip() for line in output.splitlines() if not line.startswith("MLflow UI")]
    block = "\n".join([BEGIN, "```", re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n"), "```", END])
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    README.write_text(head + block + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
