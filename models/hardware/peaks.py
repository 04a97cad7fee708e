"""Data-sheet peaks of accelerators, by the names that torch gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Data-sheet peaks of one device as torch counts devices.

    Attributes
    ----------
    bfloat16_flops : float
        Dense bfloat16 matrix products, FLOP/s.
    bytes_per_second : float, optional
        Memory bandwidth; None where cards of one name differ.
    source : str
    """

    bfloat16_flops: float
    bytes_per_second: float | None
    source: str


_H100 = "NVIDIA H100 data sheet; half of the rate with sparsity"
_H200 = "NVIDIA H200 data sheet; half of the rate with sparsity"
_A100 = "NVIDIA A100 data sheet"
_CDNA2 = "AMD Instinct MI200 data sheets"

# By words of the name that torch gives a device; the first that fits counts, so the narrower come first.
PEAKS: Mapping[str, Peak] = MappingProxyType(
    {
        "GB300": Peak(
            bfloat16_flops=2500e12,
            bytes_per_second=8e12,
            source="NVIDIA GB300 NVL72 data sheet, per GPU, dense",
        ),
        "GB200": Peak(
            bfloat16_flops=2500e12,
            bytes_per_second=8e12,
            source="NVIDIA GB200 NVL72 data sheet, per GPU, dense",
        ),
        "B300": Peak(
            bfloat16_flops=2250e12, bytes_per_second=8e12, source="NVIDIA DGX B300 data sheet, per GPU, dense"
        ),
        "B200": Peak(
            bfloat16_flops=2250e12, bytes_per_second=8e12, source="NVIDIA DGX B200 data sheet, per GPU, dense"
        ),
        "GH200": Peak(
            bfloat16_flops=989.4e12, bytes_per_second=None, source="NVIDIA GH200 data sheet, dense"
        ),
        "H200 NVL": Peak(bfloat16_flops=835.5e12, bytes_per_second=4.8e12, source=_H200),
        "H200": Peak(bfloat16_flops=989.4e12, bytes_per_second=4.8e12, source=_H200),
        "H100 PCIe": Peak(bfloat16_flops=756e12, bytes_per_second=2.0e12, source=_H100),
        "H100 NVL": Peak(bfloat16_flops=835.5e12, bytes_per_second=3.9e12, source=_H100),
        "H100": Peak(bfloat16_flops=989.4e12, bytes_per_second=3.35e12, source=_H100),
        "A100-SXM4-80GB": Peak(bfloat16_flops=312e12, bytes_per_second=2.039e12, source=_A100),
        "A100 80GB PCIe": Peak(bfloat16_flops=312e12, bytes_per_second=1.935e12, source=_A100),
        "A100": Peak(bfloat16_flops=312e12, bytes_per_second=1.555e12, source=f"{_A100}, 40 GB"),
        "MI355X": Peak(
            bfloat16_flops=2500e12, bytes_per_second=8e12, source="AMD Instinct MI355X data sheet"
        ),
        "MI350X": Peak(
            bfloat16_flops=2307e12, bytes_per_second=8e12, source="AMD Instinct MI350X data sheet"
        ),
        "MI325X": Peak(
            bfloat16_flops=1307.4e12, bytes_per_second=6e12, source="AMD Instinct MI325X data sheet"
        ),
        "MI300X": Peak(
            bfloat16_flops=1307.4e12, bytes_per_second=5.3e12, source="AMD Instinct MI300X data sheet"
        ),
        "MI300A": Peak(
            bfloat16_flops=980.6e12, bytes_per_second=5.3e12, source="AMD Instinct MI300A data sheet"
        ),
        "MI250X": Peak(
            bfloat16_flops=191.5e12,
            bytes_per_second=1.6385e12,
            source=f"{_CDNA2}; half of the card, whose two dies are two devices",
        ),
        "MI210": Peak(bfloat16_flops=181e12, bytes_per_second=1.638e12, source=_CDNA2),
    }
)


def peak(device_name: str) -> Peak | None:
    """Peaks of a device by its name; None where it is not in the table or is a slice of a card (MIG)."""
    if re.search(r"\bMIG\b", device_name):
        return None
    fitting = (found for words, found in PEAKS.items() if re.search(rf"\b{re.escape(words)}\b", device_name))
    return next(fitting, None)
