"""Entry point of the command `overspill`: signals are taken care of before anything else is imported."""

from __future__ import annotations

from pipelines.cli.terminal.interruption import ended_at_once


def main() -> None:
    """Run the command line."""
    with ended_at_once():
        from pipelines.cli.main import main as run  # noqa: PLC0415 - takes a while

        run()


if __name__ == "__main__":
    main()
