"""Checks of the device that the network computes on: what it is, how fast, bfloat16, and the compiler."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from models.errors import DeviceError
from models.hardware.device import accelerator, choose_device, settings_for
from models.hardware.peaks import Peak, peak
from pipelines.doctor.drivers import READERS
from pipelines.doctor.findings import LEAVE_OFF, Finding, fail, ok, warn
from pipelines.doctor.timing import copy_rate, matrix_product
from pipelines.figures.number_format import percent
from pipelines.runtime.config.settings import Settings

GPU_BUSY = (
    "see with the vendor's tool (nvidia-smi, amd-smi) whether another job, heat or a power cap slows it"
)
SLOW_PRODUCT, SLOW_COPY = 0.4, 0.5  # shares of the data sheet's peak below which something is wrong
MAX_ERROR = 0.02  # of a bfloat16 product: 8 bits of mantissa, sums in float32
NO_BFLOAT16 = "expect slow training in full precision; a forecast is not concerned"
CPU_COMPILERS = ("g++", "clang++")


def check_device(settings: Settings, _: Path) -> Iterator[Finding]:
    """What the device is, timed matrix products and copies, bfloat16."""
    try:
        device = choose_device(settings.forecast.device)
    except DeviceError as error:
        yield fail("device", str(error), _unseen() or "use --device cpu or auto")
        for check in ("matrix product", "bfloat16", "copy"):
            yield warn(check, "not tried without the device", "see the device")
        return
    yield _described(device)
    try:
        yield from _speed(device)
    except torch.OutOfMemoryError:
        yield fail("matrix product", "the device's memory is taken", GPU_BUSY)


def _described(device: torch.device) -> Finding:
    """Names, memory and driver of all GPUs, or of the CPU."""
    if device.type == "cpu":
        found = accelerator(device)
        memory = "" if found.memory is None else f", {found.memory / 2**30:.0f} GiB of memory"
        text = f"CPU {found.architecture}, {found.runtime}, {torch.get_num_threads()} threads{memory}"
        unseen = _unseen()
        return warn("device", text, unseen) if unseen else ok("device", text)
    reader = READERS.get(settings_for(device).platform.metrics.value)
    driver = None if reader is None else reader()
    cards = [accelerator(torch.device("cuda", index)) for index in range(torch.cuda.device_count())]
    alike = Counter(
        f"{card.name} ({card.architecture}, {(card.memory or 0) / 2**30:.0f} GiB, "
        f"flash attention {'yes' if card.flash_attention else 'no'})"
        for card in cards
    )
    texts = [f"{count} x {text}" for text, count in alike.items()]
    version = "unknown" if driver is None else driver.version
    return ok("device", f"{'; '.join(texts)}; driver {version}, torch for {cards[0].runtime}")


def _unseen() -> str:
    """What to do about GPUs that the driver finds and torch does not see; empty where there are none."""
    drivers = [driver for read in READERS.values() if (driver := read()) is not None and driver.cards]
    if not drivers or torch.cuda.is_available():
        return ""
    driver = drivers[0]
    return (
        f"the driver finds {driver.cards} {driver.vendor} GPU(s) but torch {torch.__version__} sees none: "
        "install the build of torch for it"
    )


def _speed(device: torch.device) -> Iterator[Finding]:
    known = peak(accelerator(device).name)
    single, _ = matrix_product(device, torch.float32)
    half, error = matrix_product(device, torch.bfloat16)
    share = None if known is None else half / known.bfloat16_flops
    text = f"bfloat16 {_tera(half)}{_of_peak(share)}, float32 {_tera(single)}"
    slow = share is not None and share < SLOW_PRODUCT
    yield warn("matrix product", text, GPU_BUSY) if slow else ok("matrix product", text)
    yield _bfloat16(device, error=error, gain=half / single)
    yield _copies(device, known)


def _bfloat16(device: torch.device, *, error: float, gain: float) -> Finding:
    text = f"works, relative error {error:.4f}, {gain:.1f} times as fast as float32"
    if not error < MAX_ERROR:
        return warn("bfloat16", f"wrong: relative error {error:.4f}", NO_BFLOAT16)
    if not accelerator(device).bfloat16:
        reason = settings_for(device).family.bfloat16.reason
        return warn("bfloat16", f"{text}; {reason}", NO_BFLOAT16)
    return ok("bfloat16", text)


def _copies(device: torch.device, known: Peak | None) -> Finding:
    inside = copy_rate(device, device)
    if device.type == "cpu":
        return ok("copy", f"in memory {inside / 1e9:.0f} GB/s, reading and writing")
    share = None if known is None or known.bytes_per_second is None else inside / known.bytes_per_second
    into = copy_rate(torch.device("cpu"), device)
    text = f"on the device {inside / 1e9:.0f} GB/s{_of_peak(share)}, from the host {into / 1e9:.0f} GB/s"
    return warn("copy", text, GPU_BUSY) if share is not None and share < SLOW_COPY else ok("copy", text)


def _tera(rate: float) -> str:
    return f"{rate / 1e12:.{0 if rate > 1e14 else 2}f} TFLOP/s"


def _of_peak(share: float | None) -> str:
    return "" if share is None else f" ({percent(share, spaced=False)} of the data sheet's)"


def check_compiler(settings: Settings, scratch: Path) -> Iterator[Finding]:
    """Whether torch.compile works on the device: a small function is compiled anew and compared."""
    check = "torch.compile"
    try:
        device = choose_device(settings.forecast.device)
    except DeviceError as error:
        yield warn(check, f"not tried: {error}", "see the device")
        return
    mode = settings_for(device).family.compile_mode
    if mode.value is None:
        yield ok(check, f"not used on this device: {mode.reason}")
        return
    compilers = (os.environ["CXX"],) if os.environ.get("CXX") else CPU_COMPILERS
    if device.type == "cpu" and not any(shutil.which(compiler) for compiler in compilers):
        yield warn(
            check,
            f"needs a C++ compiler, found none of {', '.join(compilers)}",
            f"install one, or {LEAVE_OFF}",
        )
        return
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / "inductor")
    os.environ["TRITON_CACHE_DIR"] = str(scratch / "triton")
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_VEC_ISA_OK"] = "1"  # else six trial builds, 9 s; the kernel's own is the trial
    values = torch.linspace(-4, 4, 4096, device=device)
    compiled = torch.compile(_sample, mode=mode.value)
    right = torch.allclose(compiled(values), _sample(values), atol=1e-5)
    yield ok(check, f"works, mode {mode.value}") if right else warn(check, "gives other values", LEAVE_OFF)


def _sample(values: torch.Tensor) -> torch.Tensor:
    """A chain of elementwise operations, which the compiler makes one kernel of."""
    return torch.nn.functional.silu(values) * values.tanh() + 1
