"""Entry point of the command `overspill`: signals are taken care of before anything else is imported."""

from __future__ import annotations

import gc

from pipelines.cli.terminal.interruption import ended_at_once


def main() -> None:
    """Run the command line.

    Imports make objects by the hundred thousand and few cycles among them: looking for those less often than
    Python does by itself takes a quarter off the start.
    """
    gc.set_threshold(50_000, 20, 20)
    with ended_at_once():
        from pipelines.cli.main import main as run  # noqa: PLC0415 - takes a while

        run()


if __name__ == "__main__":
    main()
