"""The catalogue of accelerators, and the total processing performance (TPP) by which rules measure them."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from forecasting import reference
from forecasting.errors import InputError


def total_processing_performance(
    *,
    fp16: float | None = None,
    fp8: float | None = None,
    fp6: float | None = None,
    fp4: float | None = None,
) -> float | None:
    """TPP of a chip: the largest product of dense rate and bit length over number formats.

    Source: technical notes to ECCN 3A090 (eCFR, 15 CFR part 774, Supplement No. 1): TPP is 2 x MacTOPS x bit
    length of the multiply's inputs, the highest over formats, summed over the chip. A data sheet's dense TOPS
    already count both operations of a multiply-accumulate; sparse rates do not count.

    Parameters
    ----------
    fp16, fp8, fp6, fp4 : float, optional
        Dense rates in TFLOPS; integer formats of the same length count alike (INT8 as FP8).

    Returns
    -------
    float or None
        TOPS x bits; None if no rate is given.

    Examples
    --------
    >>> total_processing_performance(fp16=1835.0, fp8=1835.0)
    29360.0
    """
    rates = ((16, fp16), (8, fp8), (6, fp6), (4, fp4))
    return max((bits * rate for bits, rate in rates if rate is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator; rates in dense TFLOPS, None where the vendor gives none.

    Attributes
    ----------
    chip_id : str
        Short canonical name, such as `H200`.
    launch_quarter_end : date
        End of the quarter of first shipment; good for ordering only.
    memory_bandwidth_gb_per_s : float or None
        Total memory bandwidth.
    interconnect_gb_per_s : float or None
        Aggregate bidirectional bandwidth to other chips.
    merchant : bool
        Sold to third parties, not made for the vendor's own cloud alone.
    successor_chip_id : str or None
        Chip that replaces it in its vendor's line.
    """

    chip_id: str
    name: str
    vendor: str
    family: str
    launch_quarter_end: dt.date
    fp16_dense_tflops: float | None
    fp8_dense_tflops: float | None
    fp6_dense_tflops: float | None
    fp4_dense_tflops: float | None
    memory_bandwidth_gb_per_s: float | None
    merchant: bool
    successor_chip_id: str | None
    interconnect_gb_per_s: float | None = None

    @property
    def tpp(self) -> float | None:
        """Total processing performance in TOPS x bits; None for a chip without specs."""
        return total_processing_performance(
            fp16=self.fp16_dense_tflops,
            fp8=self.fp8_dense_tflops,
            fp6=self.fp6_dense_tflops,
            fp4=self.fp4_dense_tflops,
        )

    def required_tpp(self) -> float:
        """Total processing performance where an answer depends on it.

        Raises
        ------
        InputError
            For a chip without specs.
        """
        tpp = self.tpp
        if tpp is None:
            raise InputError(
                "a chip without specs has no total processing performance",
                expected="a dense rate in at least one number format",
                found="none",
                where=f"chip {self.chip_id}",
            )
        return tpp


@cache
def catalogue() -> Mapping[str, Chip]:
    """All chips of the reference table by `chip_id`."""
    columns = list(Chip.__dataclass_fields__)
    rows = reference.load("chips").select(columns).sort("chip_id").collect().iter_rows(named=True)
    return MappingProxyType({row["chip_id"]: Chip(**row) for row in rows})


def extend_catalogue(own: Iterable[Chip]) -> Mapping[str, Chip]:
    """The catalogue and, beside it, chips of one's own.

    Raises
    ------
    InputError
        If a chip has a name of the catalogue, a family named like a chip, or a successor that is nowhere.
    """
    own = list(own)
    chips = {**catalogue(), **{each.chip_id: each for each in own}}
    for each in own:
        if each.chip_id in catalogue():
            raise InputError(
                "a chip of your own needs a name that the catalogue does not hold", found=repr(each.chip_id)
            )
        if each.family in chips:
            raise InputError(
                "a family needs a name of its own", expected="no chip's", found=repr(each.family)
            )
        if each.successor_chip_id is not None:
            chip(each.successor_chip_id, among=chips)
    return MappingProxyType(chips)


def chip(chip_id: str, *, among: Mapping[str, Chip] | None = None) -> Chip:
    """Chip of the catalogue, or of another set of chips.

    Raises
    ------
    InputError
        If there is no such chip; the sentence names the nearest one.
    """
    chips = catalogue() if among is None else among
    if chip_id in chips:
        return chips[chip_id]
    by_lower_case = {known.lower(): known for known in chips}
    nearest = difflib.get_close_matches(chip_id.lower(), by_lower_case, n=1, cutoff=0.0)[0]
    raise InputError(
        "the catalogue has no such chip",
        expected=f"for instance {by_lower_case[nearest]}",
        found=repr(chip_id),
    )
