"""Write what the commands print into the documents: `python docs/update_readme.py`.

`overspill run` under one policy goes into the README, `sensitivity` and `scenario` on that run into
sensitivity.md, each between its two marks.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
README, SENSITIVITY = DOCS.parent / "README.md", DOCS / "sensitivity.md"
OVERSPILL = str(Path(sys.executable).with_name("overspill"))
OUTPUTS = (
    (README, "run", ["--set", "policies=[bis_2026_01]"]),
    (SENSITIVITY, "sensitivity", []),
    (SENSITIVITY, "scenario", []),
)
END = "<!-- end of output -->"


def main() -> None:
    """Run one command after the other in a fresh folder and replace what stands between their marks."""
    with tempfile.TemporaryDirectory() as folder:
        for document, command, options in OUTPUTS:
            output = subprocess.run(  # noqa: S603
                [OVERSPILL, command, *options], cwd=folder, capture_output=True, text=True, check=True
            ).stdout
            replace(
                document,
                f"<!-- output of `overspill {command}`, written by docs/update_readme.py -->",
                output,
            )


def replace(document: Path, begin: str, output: str) -> None:
    """Put an output between a mark and the end mark that follows it."""
    lines = [line.rstrip() for line in output.splitlines() if not line.startswith("MLflow UI")]
    block = "\n".join([begin, "```", re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n"), "```", END])
    head, mark, rest = document.read_text(encoding="utf-8").partition(begin)
    if not mark:
        raise SystemExit(f"{document} has no mark {begin}")
    document.write_text(head + block + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
