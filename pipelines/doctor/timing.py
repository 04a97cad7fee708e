"""Timed work on a device: how long it takes, and what rate that is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

WARM_UP, LEAST, MOST = 3, 3, 50  # repeats
BUDGET = 0.4  # seconds that the repeats may take after the least number of them
CPU_SIDE, GPU_SIDE = 512, 8192  # of the matrices; a CPU without bfloat16 needs seconds for more
CPU_BYTES, GPU_BYTES = 2**27, 2**30  # of a copy


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time of repeats of some work, after a warm-up; on a GPU by its own clock."""
    for _ in range(WARM_UP):
        work()
    once = _gpu_seconds if device.type == "cuda" else _cpu_seconds
    taken: list[float] = []
    while len(taken) < LEAST or (sum(taken) < BUDGET and len(taken) < MOST):
        taken.append(once(work))
    return statistics.median(taken)


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _gpu_seconds(work: Callable[[], object]) -> float:
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begun.record()
    work()
    ended.record()
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1000


def matrix_product(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a square matrix product, and its relative error against float64.

    The error is that of the first rows, in the Frobenius norm.
    """
    side = GPU_SIDE if device.type == "cuda" else CPU_SIDE
    generator = torch.Generator(device).manual_seed(1)
    left, right = (torch.randn(side, side, device=device, generator=generator) for _ in range(2))
    first, second = left.to(dtype), right.to(dtype)
    seconds = median_seconds(lambda: first @ second, device)
    exact = left[:16].double() @ right.double()
    error = ((first[:16] @ second).double() - exact).norm() / exact.norm()
    return 2 * side**3 / seconds, float(error)


def copy_rate(source: torch.device, target: torch.device) -> float:
    """Bytes per second copied; a copy within one device reads and writes, and both count."""
    gpu = target if target.type == "cuda" else source
    size = GPU_BYTES if gpu.type == "cuda" else CPU_BYTES
    original = torch.zeros(size, dtype=torch.uint8, device=source)
    if source.type == "cpu" and target.type == "cuda":
        original = original.pin_memory()
    copied = torch.empty_like(original, device=target)
    seconds = median_seconds(lambda: copied.copy_(original, non_blocking=True), gpu)
    return size * (2 if source == target else 1) / seconds
