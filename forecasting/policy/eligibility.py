"""Which chips are eligible under a policy, from when, and at what duty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.errors import InputError
from forecasting.panel.history import Bools
from forecasting.policy.policy import Policy
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


def best_chinese_tpp(chips: Iterable[Chip]) -> float:
    """Highest TPP among the chips of vendors based in China.

    Raises
    ------
    InputError
        If there is none with specs.
    """
    known = [chip.tpp for chip in chips if chip.vendor in CHINESE_VENDORS and chip.tpp is not None]
    if not known:
        raise InputError(
            "a limit relative to the best Chinese chip needs one with specs",
            expected="a chip of one of " + ", ".join(sorted(CHINESE_VENDORS)),
            found="none",
            where="chip catalogue",
        )
    return max(known)


def _below(what: str, value: float, limit: float, unit: str = "") -> tuple[bool, str]:
    met = value < limit
    return met, f"{what} {value:,.0f}{unit} is {'' if met else 'not '}below {limit:,.0f}{unit}"


def _available(launch_quarter_end: dt.date, day: dt.date) -> tuple[bool, str]:
    met = launch_quarter_end <= day
    verdict = "already" if met else "not certainly"
    return met, f"launched in the quarter ending {launch_quarter_end}, so {verdict} on sale on {day}"


def _near_best_chinese(tpp: float, ratio: float, best: float) -> tuple[bool, str]:
    met = tpp <= ratio * best
    verdict = "is at most" if met else "exceeds"
    return met, f"TPP {tpp:,.0f} {verdict} {ratio:g} times the best Chinese chip's {best:,.0f}"


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
    tpp, bandwidth = _specs(chip)
    rule = policy.eligibility
    verdicts: list[tuple[bool, str]] = []
    if rule.tpp_below is not None:
        verdicts.append(_below("TPP", tpp, rule.tpp_below))
    if rule.bandwidth_gb_per_s_below is not None:
        verdicts.append(_below("DRAM bandwidth", bandwidth, rule.bandwidth_gb_per_s_below, " GB/s"))
    if rule.available_in_us_on is not None:
        verdicts.append(_available(chip.launch_quarter_end, rule.available_in_us_on))
    if rule.tpp_at_most_ratio_of_best_chinese is not None:
        best = best_chinese_tpp(catalogue().values() if chips is None else chips)
        verdicts.append(_near_best_chinese(tpp, rule.tpp_at_most_ratio_of_best_chinese, best))
    eligible = all(met for met, _ in verdicts)
    return Eligible(eligible=eligible, reasons=tuple(words for met, words in verdicts if met is eligible))


def in_effect(policy: Policy, timestamps: Sequence[dt.date]) -> Bools:
    """Periods in which a policy applies, including the one in which it begins; bool [T] for T period ends."""
    return np.array([end >= policy.effective_date for end in timestamps], dtype=np.bool_)


def duty_rate(chip: Chip, policy: Policy) -> float:
    """Duty due on a chip as a share of its value: that of the tariff band it falls in, else 0.

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
