"""Entry point of the command `overspill`: signals are taken care of before anything else is imported."""

from __future__ import annotations

import gc

from pipelines.cli.terminal.collection import THRESHOLDS, without_collection
from pipelines.cli.terminal.interruption import ended_at_once


def main() -> None:
    """Run the command line.

    Looking for cycles of unused objects less often than Python does by itself, and not at all during imports,
    shortens the start by about a third.
    """
    gc.set_threshold(*THRESHOLDS)
    with ended_at_once():
        with without_collection():
            from pipelines.cli.main import main as run  # noqa: PLC0415 - takes a while

        run()


if __name__ == "__main__":
    main()
