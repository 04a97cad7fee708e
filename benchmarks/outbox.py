"""What putting everything down before it is sent costs a run against an MLflow server; prints JSON.

`python benchmarks/outbox.py [CONFIG]`. One `overspill run` (by default `--config quick`) against a server on
loopback: seconds of all, seconds spent with the server, seconds spent on the outbox, its entries and bytes.
"""

from __future__ import annotations

import functools
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.run import run_all
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.spool.outbox import Outbox
from pipelines.runtime.spool.sender import Sender
from pipelines.runtime.step.context import Context
from pipelines.runtime.store.address import SQLITE
from pipelines.runtime.tracking import Spooling, Tracker
from pipelines.runtime.tracking.ui import free_port, server


def timed(kind: type, name: str, spent: Counter[str], key: str) -> None:
    """Have a method of a class add its seconds."""
    method: Callable[..., Any] = getattr(kind, name)

    @functools.wraps(method)
    def measured(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        began = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            spent[key] += time.perf_counter() - began

    setattr(kind, name, measured)


def main() -> None:
    """Measure and print."""
    spent: Counter[str] = Counter()
    for name in ("append", "sent", "remove"):
        timed(Outbox, name, spent, "outbox")
    timed(Sender, "send", spent, "server")
    held: dict[str, int] = {}
    remove = Outbox.remove

    def weighed(outbox: Outbox) -> None:
        files = [path for path in outbox.folder.rglob("*") if path.is_file()]
        held.update(entries=len(outbox.journal().entries), bytes=sum(path.stat().st_size for path in files))
        remove(outbox)

    Outbox.remove = weighed  # type: ignore[method-assign]
    settings = resolve(sys.argv[1] if len(sys.argv) > 1 else "quick")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        laid_out = Tracker(f"{SQLITE}{Path(folder) / 'mlflow.db'}", "laid out")
        with server(laid_out, free_port(None)) as (address, _):
            began = time.perf_counter()
            with Tracker(address, "outbox", spooling=Spooling(folder=Path(folder) / "spool")) as tracker:
                run_all(Context(settings=settings, tracker=tracker, console=Console(file=io.StringIO())))
            seconds = time.perf_counter() - began
        os.chdir("/")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(
        json.dumps(
            {
                "machine": machine,
                "load": round(os.getloadavg()[0], 1),
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "seconds": round(seconds, 2),
                "with the server": round(spent["server"], 2),
                "on the outbox": round(spent["outbox"], 3),
                "share": f"{spent['outbox'] / seconds:.2%}",
                **held,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
