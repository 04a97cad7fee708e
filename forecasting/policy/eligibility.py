"""Which chips are eligible under a policy, from when, and at what duty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.errors import InputError
from forecasting.panel.history import Bools
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Eligibility
from forecasting.reference.chips import Chip, catalogue

CHINESE_VENDORS = frozenset(
    ["alibaba", "baidu", "biren", "cambricon", "enflame", "huawei", "hygon", "metax", "moore_threads"]
)
"""Slugs of vendors based in China, to whose chips a relative limit refers."""


@dataclass(frozen=True, kw_only=True)
class Eligible:
    """Verdict on one chip, with its reasons in plain words and figures.

    Attributes
    ----------
    eligible : bool
    reasons : tuple of str
        If eligible, every condition that is met; if not, every condition that is not.
    """

    eligible: bool
    reasons: tuple[str, ...]


def _has_specs(chip: Chip) -> bool:
    return chip.tpp is not None and chip.memory_bandwidth_gb_per_s is not None


def _specs(chip: Chip) -> tuple[float, float]:
    """TPP and DRAM bandwidth (GB/s) of a chip, or the error that says which is missing."""
    tpp, bandwidth = chip.tpp, chip.memory_bandwidth_gb_per_s
    if tpp is None or bandwidth is None:
        missing = [name for name, value in (("TPP", tpp), ("DRAM bandwidth", bandwidth)) if value is None]
        raise InputError(
            "a chip without specs cannot be checked against a policy",
            expected="TPP and DRAM bandwidth",
            found="no " + " and no ".join(missing),
            where=f"chip {chip.chip_id}",
        )
    return tpp, bandwidth


def best_chinese(chips: Iterable[Chip]) -> Chip:
    """The most capable chip of a vendor based in China: the one with the highest TPP.

    Raises
    ------
    InputError
        If there is none with specs.
    """
    known = [chip for chip in chips if chip.vendor in CHINESE_VENDORS and chip.tpp is not None]
    if not known:
        raise InputError(
            "a limit relative to the best Chinese chip needs one with specs",
            expected="a chip of one of " + ", ".join(sorted(CHINESE_VENDORS)),
            found="none",
            where="chip catalogue",
        )
    return max(known, key=Chip.required_tpp)


def _below(what: str, value: float, limit: float, unit: str = "") -> tuple[bool, str]:
    met = value < limit
    return met, f"{what} {value:,.0f}{unit} is {'' if met else 'not '}below {limit:,.0f}{unit}"


def _available(launch_quarter_end: dt.date, day: dt.date) -> tuple[bool, str]:
    met = launch_quarter_end <= day
    verdict = "already" if met else "not certainly"
    return met, f"launched in the quarter ending {launch_quarter_end}, so {verdict} on sale on {day}"


def _interconnect_below(chip: Chip, limit: float) -> tuple[bool, str]:
    link = chip.interconnect_gb_per_s
    if link is None:
        return False, "interconnect bandwidth is not known"
    return _below("interconnect bandwidth", link, limit, " GB/s")


def _sum_below(chip: Chip, limit: float) -> tuple[bool, str]:
    link = chip.interconnect_gb_per_s
    if link is None:
        return False, "interconnect bandwidth is not known"
    return _below("DRAM and interconnect bandwidth together", _specs(chip)[1] + link, limit, " GB/s")


MEASURES: Mapping[str, tuple[str, str, Callable[[Chip], float | None]]] = {
    "tpp_at_most_ratio_of_best_chinese": ("TPP", "", lambda chip: chip.tpp),
    "bandwidth_at_most_ratio_of_best_chinese": (
        "DRAM bandwidth",
        " GB/s",
        lambda chip: chip.memory_bandwidth_gb_per_s,
    ),
    "interconnect_at_most_ratio_of_best_chinese": (
        "interconnect bandwidth",
        " GB/s",
        lambda chip: chip.interconnect_gb_per_s,
    ),
}
"""Limits relative to the best Chinese chip: what is measured, its unit, and where it stands."""


def _near_best_chinese(chip: Chip, key: str, ratio: float, best: Chip) -> tuple[bool, str]:
    what, unit, measured = MEASURES[key]
    mine, its = measured(chip), measured(best)
    if mine is None or its is None:
        return False, f"{what} of {(chip if mine is None else best).chip_id} is not known"
    met = mine <= ratio * its
    verdict = "is at most" if met else "exceeds"
    return met, f"{what} {mine:,.0f}{unit} {verdict} {ratio:g} times the best Chinese chip's {its:,.0f}{unit}"


def _limits(chip: Chip, rule: Eligibility, best: Callable[[], Chip]) -> Iterator[tuple[bool, str]]:
    """Whether each limit that a rule sets holds, and why."""
    tpp, bandwidth = _specs(chip)
    if rule.tpp_below is not None:
        yield _below("TPP", tpp, rule.tpp_below)
    if rule.bandwidth_gb_per_s_below is not None:
        yield _below("DRAM bandwidth", bandwidth, rule.bandwidth_gb_per_s_below, " GB/s")
    if rule.interconnect_gb_per_s_below is not None:
        yield _interconnect_below(chip, rule.interconnect_gb_per_s_below)
    if rule.bandwidth_and_interconnect_gb_per_s_below is not None:
        yield _sum_below(chip, rule.bandwidth_and_interconnect_gb_per_s_below)
    if rule.available_in_us_on is not None:
        yield _available(chip.launch_quarter_end, rule.available_in_us_on)
    for key in MEASURES:
        ratio = getattr(rule, key)
        if ratio is not None:
            yield _near_best_chinese(chip, key, ratio, best())


def eligibility(chip: Chip, policy: Policy, *, chips: Iterable[Chip] | None = None) -> Eligible:
    """Whether a chip is eligible under a policy at all, and why or why not.

    Launch dates are known to the quarter: a chip counts as on sale on a day if its launch quarter had ended
    by then, the cautious reading for a launch within the quarter that contains the day.

    Parameters
    ----------
    chip : Chip
    policy : Policy
    chips : iterable of Chip, optional
        Where the best Chinese chip is looked up if the limit is relative to it; by default the catalogue.

    Raises
    ------
    InputError
        If the chip's TPP or bandwidth is unknown, or no Chinese chip is known where one is needed.
    """
    if policy.review == "denial":
        return Eligible(eligible=False, reasons=("licences are reviewed under a presumption of denial",))
    among = catalogue().values() if chips is None else chips
    verdicts = list(_limits(chip, policy.eligibility, lambda: best_chinese(among)))
    eligible = all(met for met, _ in verdicts)
    return Eligible(eligible=eligible, reasons=tuple(words for met, words in verdicts if met is eligible))


def in_effect(policy: Policy, timestamps: Sequence[dt.date]) -> Bools:
    """Periods in which a policy applies, including the one in which it begins; bool [T] for T period ends.

    A bill that is not law applies in none.
    """
    begins = policy.begins
    return np.array([begins is not None and end >= begins for end in timestamps], dtype=np.bool_)


def duty_rate(chip: Chip, policy: Policy) -> float:
    """Duty due on a chip as a share of its import value: that of the tariff band it falls in, else 0.

    Bounds are exclusive: "greater than ... and less than ..." (Proclamation 11002, HTSUS 9903.79.01).

    Raises
    ------
    InputError
        If the policy has tariff bands and the chip's TPP or bandwidth is unknown.
    """
    if not policy.tariff:
        return 0.0
    tpp, bandwidth = _specs(chip)
    rates = (
        band.rate
        for band in policy.tariff
        if band.tpp_low < tpp < band.tpp_high and band.bandwidth_low < bandwidth < band.bandwidth_high
    )
    return next(rates, 0.0)


def is_outside_duty_bands(chip: Chip, policy: Policy) -> bool:
    """Whether a chip lies in none of a policy's duty bands, though the policy has some.

    The bands were drawn around the chips that were meant to be licensed; a chip outside them may be eligible
    by the letter of the rule alone.
    """
    return bool(policy.tariff) and duty_rate(chip, policy) == 0


def check_policy_reaches(policy: Policy, chips: Iterable[Chip]) -> None:
    """Refuse a case-by-case policy that none of the given chips meets; chips without specs are skipped.

    Raises
    ------
    InputError
        If no chip meets the policy.
    """
    if policy.review == "denial":
        return
    known = [chip for chip in chips if _has_specs(chip)]
    if not any(eligibility(chip, policy, chips=known).eligible for chip in known):
        raise InputError(
            "a policy that no chip meets",
            expected="at least one eligible chip",
            found=f"none of {len(known)} chips with specs",
            where=f"policy {policy.name}",
        )
