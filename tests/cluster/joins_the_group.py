"""A small training for tests of launchers: joins the process group, counts steps, and dies where it is told.

    python joins_the_group.py STATE [--die-at STEP] [--steps N] [--wait SECONDS]

Rank 0 saves the step in ``STATE/step``; every process goes on from there. The last rank dies at step
``--die-at`` of the first attempt. Under SIGTERM or SIGUSR1 all save and leave with exit status 128 + signal.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--wait", type=float, default=0.0)
    options = parser.parse_args()
    received: list[int] = []
    for each in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(each, lambda number, _frame: received.append(number))

    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    rank, size = dist.get_rank(), dist.get_world_size()
    saved = options.state / "step"
    first = int(saved.read_text()) if saved.exists() else 0
    for step in range(first, options.steps):
        if step == options.die_at and attempt == 0 and rank == size - 1:
            os._exit(17)
        total = torch.tensor([1.0, float(len(received))])
        dist.all_reduce(total)
        assert total[0] == size
        if rank == 0:
            saved.write_text(str(step + 1))
        if total[1] > 0:  # agreed on: all leave at the same step
            (options.state / f"left-{rank}").write_text(f"{step + 1}")
            sys.exit(128 + (received or [signal.SIGTERM])[0])
        time.sleep(options.wait)
    (options.state / f"done-{rank}").write_text(f"attempt={attempt} from={first} size={size}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
