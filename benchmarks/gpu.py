"""The network's figures on one GPU (CUDA or ROCm), or in a small form on the CPU; prints one markdown table.

    python benchmarks/gpu.py [--device auto] [--millions 1 5 20] [--series 96 4096] [--steps 24] [--profile]

For each number of parameters and of series per step: the time of a training step (worlds, forward pass,
losses with sampled paths, backward pass, clipping, optimiser, averaged weights; bfloat16, without Lightning's
own loop), with and without torch.compile; series windows per second; model-FLOP utilisation (PaLM's formula,
models.network.flops_per_window, over the data sheet's dense bfloat16 peak); worlds per second, generated
alone; paths per second, sampled alone; and the peak of the allocated memory. Each figure is the median of
repeats after a warm-up, with the device synchronised at the start and the end of each repeat.

--profile says in further tables where the time of a step goes: by part, with a synchronisation after each
part, and by operation (torch.profiler); --trace writes the profile as a Chrome trace.
The CPU's form: python benchmarks/gpu.py --device cpu --millions 1 --series 96 --steps 8 --repeats 2
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from models.hardware.device import accelerator, choose_device, compile_in_place
from models.hardware.peaks import peak
from models.network.features import Inputs
from models.network.sampling import sample_paths
from models.network.transformer import count_parameters, flops_per_window
from models.settings import NetworkSettings, PretrainSettings
from models.training.module import PATH_SEEDS, ForecasterModule, batch_losses, total_loss
from models.worlds.mixture import draw_batch
from models.worlds.rng import RandomSource

SHAPE = (96, 24, 1)  # context, horizon, variates of every batch
SIZES = {
    1: NetworkSettings(),
    5: NetworkSettings(width=256, heads=8, feedforward=704),
    20: NetworkSettings(width=512, heads=16, feedforward=1408),
}
PATHS = 1000  # per series, of the figure of sampling
TOP = 15  # operations of the profile that are shown
COLUMNS = (
    *("parameters", "series per step", "compiled", "step, ms", "windows/s", "utilisation"),
    *("worlds/s", "paths/s", "peak memory, GiB"),
)


class Counter(TorchDispatchMode):  # type: ignore[misc]
    """Counts the operations that launch work, views left out; on a GPU about one kernel each."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Count and go on."""
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@dataclass
class Parts:
    """Seconds per part of a step; where `exact`, the device is synchronised at the end of each part.

    With a counter, the operations of each part instead.
    """

    device: torch.device
    exact: bool = False
    counter: Counter | None = None
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """One part of a step."""
        if not self.exact:
            yield
            return
        started = self._reading()
        yield
        synchronise(self.device)
        self.seconds[name] += self._reading() - started

    def _reading(self) -> float:
        return time.perf_counter() if self.counter is None else self.counter.count


class Training:
    """The training step of `models.training.module.ForecasterModule`, with Lightning's loop left out."""

    def __init__(self, settings: PretrainSettings, device: torch.device) -> None:
        torch.manual_seed(settings.training.seed)
        self.settings, self.device = settings, device
        self.module = ForecasterModule(settings).to(device)
        self.optimizer: Any = self.module.configure_optimizers()["optimizer"]
        self.number = 0

    def step(self, parts: Parts) -> None:
        """One step."""
        training, module, network = self.settings.training, self.module, self.module.network
        with parts.part("worlds"):
            batch = module.stream.batch(self.number, self.device)
        generator = torch.Generator(self.device).manual_seed(training.seed * PATH_SEEDS + self.number)

        def forward(inputs: Inputs) -> Any:  # noqa: ANN401
            with parts.part("forward: features and network"):
                return network(inputs)

        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            before = parts.seconds["forward: features and network"]
            with parts.part("losses: sampled paths, copula, quantiles"):
                losses = batch_losses(
                    forward,  # type: ignore[arg-type]
                    batch,
                    levels=network.head.levels,
                    paths=training.paths_per_item,
                    generator=generator,
                )
            inside = parts.seconds["forward: features and network"] - before
            parts.seconds["losses: sampled paths, copula, quantiles"] -= inside
        with parts.part("backward"):
            total_loss(losses, training).backward()
        with parts.part("clipping"):
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
            if not torch.isfinite(norm):
                sys.exit(f"the gradient of step {self.number} is not finite")
        with parts.part("optimizer"):
            self.optimizer.step()
            self.optimizer.zero_grad()
        with parts.part("averaged weights"), torch.no_grad():
            for kept, new in zip(module.average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - training.ema_decay)
        self.number += 1


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Median seconds of some work after one run that is not counted."""
    taken = []
    for _ in range(repeats + 1):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def recipe(millions: int, series: int) -> PretrainSettings:
    """The shipped recipe on one shape of batch, with a number of series per batch."""
    base = PretrainSettings(network=SIZES[millions])
    # The recipe counts series of 128 steps.
    per_batch = round(series * sum(SHAPE[:2]) / 128)
    worlds = replace(base.worlds, shapes=(SHAPE,), series_per_batch=per_batch)
    return replace(base, worlds=worlds)


def worlds_per_second(
    settings: PretrainSettings, device: torch.device, *, series: int, repeats: int
) -> float:
    """Series per second of the generators alone, drawn as in training: several batches at once."""
    items = series * settings.worlds.batches_per_draw
    seeds = iter(range(10_000))

    def draw() -> None:
        draw_batch(
            RandomSource(next(seeds), device), settings.worlds, settings.network, items=items, shape=SHAPE
        )

    return items / seconds(draw, device, repeats=repeats)


def paths_per_second(training: Training, *, series: int, paths: int, repeats: int) -> float:
    """Paths of 24 steps per second, sampled from the laws of a batch of series."""
    network, device = training.module.network, training.device
    batch = training.module.stream.batch(0, device)
    context = SHAPE[0]
    inputs = Inputs(
        values=batch.values[:series, :, :context],
        observed=batch.observed[:series, :, :context],
        season=batch.season[:series],
        covariates=batch.covariates[:series],
        statics=batch.statics[:series],
    )
    with torch.inference_mode():
        _, distribution = network(inputs)

        def draw() -> None:
            generator = torch.Generator(device).manual_seed(1)
            sample_paths(distribution, network.head.levels, paths=paths, generator=generator)

        return inputs.values.shape[0] * paths / seconds(draw, device, repeats=repeats)


def measured(
    millions: int, series: int, *, compiled: bool, device: torch.device, steps: int, repeats: int, paths: int
) -> dict[str, str]:
    """One row of the table."""
    settings = recipe(millions, series)
    training, idle = Training(settings, device), Parts(device)
    if compiled and not compile_in_place(training.module.network, device):
        return dict.fromkeys(COLUMNS, "-")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def many() -> None:
        for _ in range(steps):
            training.step(idle)

    one = seconds(many, device, repeats=repeats) / steps
    windows = len(training.module.stream.batch(training.number - 1, device).values)
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    number = count_parameters(training.module.network)
    known = peak(accelerator(device).name)
    cost = flops_per_window(settings.network, number, context=SHAPE[0], horizon=SHAPE[1])
    utilisation = None if known is None else windows / one * cost / known.bfloat16_flops
    few = min(windows, 96)
    return dict(
        zip(
            COLUMNS,
            (
                f"{number:,}",
                f"{windows:,}",
                "yes" if compiled else "no",
                f"{1000 * one:.1f}",
                f"{windows / one:,.0f}",
                "-" if utilisation is None else f"{utilisation:.1%}",
                f"{worlds_per_second(settings, device, series=windows, repeats=repeats):,.0f}",
                f"{paths_per_second(training, series=few, paths=paths, repeats=repeats):,.0f}",
                "-" if memory is None else f"{memory:.2f}",
            ),
            strict=True,
        )
    )


def parts_table(settings: PretrainSettings, device: torch.device, *, steps: int) -> list[dict[str, str]]:
    """Where the time of a step goes, by part; whole draws of worlds are counted."""
    training, warm, exact = Training(settings, device), Parts(device), Parts(device, exact=True)
    draws = settings.worlds.batches_per_draw
    for _ in range(draws):
        training.step(warm)
    synchronise(device)
    counted = max(draws, steps // draws * draws)
    for _ in range(counted):
        training.step(exact)
    total, launched = sum(exact.seconds.values()), operations_of(training)
    return [
        {
            "part": name,
            "ms per step": f"{1000 * taken / counted:.2f}",
            "share": f"{taken / total:.1%}",
            "operations": f"{launched[name]:,.0f}",
        }
        for name, taken in sorted(exact.seconds.items(), key=lambda item: -item[1])
    ]


def operations_of(training: Training) -> Mapping[str, float]:
    """Operations of each part of one step; a step that draws worlds does so for all of its draw's batches."""
    draws, counter = training.settings.worlds.batches_per_draw, Counter()
    counted = Parts(training.device, exact=True, counter=counter)
    with torch.autograd.set_multithreading_enabled(mode=False), counter:  # else backward runs out of sight
        for _ in range(draws):
            training.step(counted)
    return {name: count / draws for name, count in counted.seconds.items()}


def operations_table(
    settings: PretrainSettings, device: torch.device, *, steps: int, trace: Path | None
) -> list[dict[str, str]]:
    """The operations that take most of a step, and how often each is called."""
    training, idle = Training(settings, device), Parts(device)
    for _ in range(settings.worlds.batches_per_draw):
        training.step(idle)
    gpu = device.type == "cuda"
    watched = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with profile(activities=watched) as profiled:
        for _ in range(steps):
            training.step(idle)
        synchronise(device)
    if trace is not None:
        profiled.export_chrome_trace(str(trace))
    events = profiled.key_averages()
    own = "self_device_time_total" if gpu else "self_cpu_time_total"
    total = sum(getattr(event, own) for event in events)
    ranked = sorted(events, key=lambda event: -getattr(event, own))[:TOP]
    return [
        {
            "operation": event.key[:70],
            "ms per step": f"{getattr(event, own) / 1000 / steps:.2f}",
            "share": f"{getattr(event, own) / total:.1%}",
            "calls per step": f"{event.count / steps:.0f}",
        }
        for event in ranked
    ]


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows as a markdown table."""
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(row.values())} |", flush=True)
    print()


def print_machine(device: torch.device) -> None:
    """Print what the figures were measured on."""
    found = accelerator(device)
    memory = "" if found.memory is None else f", {found.memory / 2**30:.0f} GiB"
    known = peak(found.name)
    print(f"Device: {found.name} ({found.architecture}, {found.runtime}{memory}), torch {torch.__version__}")
    print(f"Host: {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}; {datetime.now(UTC):%Y-%m-%d}")
    if known is not None:
        print(f"Peak: {known.bfloat16_flops / 1e12:.1f} TFLOP/s in dense bfloat16 ({known.source})")
    print(f"Batches: context {SHAPE[0]}, horizon {SHAPE[1]}, one variate\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, cuda or rocm")
    parser.add_argument("--millions", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--series", type=int, nargs="+", default=[96, 4096], help="series per step")
    parser.add_argument(
        "--steps", type=int, default=24, help="of a repeat; best a multiple of 8, whole draws"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--paths", type=int, default=PATHS, help="per series")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--compile", choices=["both", "no", "yes"], default="both")
    parser.add_argument("--profile", action="store_true", help="say where the time of a step goes")
    parser.add_argument("--trace", type=Path, help="write the profile of the largest case as a Chrome trace")
    options = parser.parse_args()
    device = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    print_machine(device)
    cases = [(millions, series) for millions in options.millions for series in options.series]
    rows = []
    for millions, series in cases:
        for compiled in {"both": (False, True), "no": (False,), "yes": (True,)}[options.compile]:
            print(f"{millions} M, {series} series, compiled {compiled}", file=sys.stderr)
            torch.compiler.reset()
            how = {"steps": options.steps, "repeats": options.repeats, "paths": options.paths}
            rows.append(measured(millions, series, compiled=compiled, device=device, **how))
    print_table(rows)
    if options.profile or options.trace:
        for millions, series in cases:
            print(f"Where a step goes: {millions} M parameters, {series} series, not compiled\n")
            settings = recipe(millions, series)
            print_table(parts_table(settings, device, steps=options.steps))
            trace = options.trace if (millions, series) == cases[-1] else None
            print_table(operations_table(settings, device, steps=options.steps, trace=trace))


if __name__ == "__main__":
    main()
