"""The conditions of a policy on chips and dates, each held against published facts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import replace

from forecasting.frequencies import Frequency, period_end
from forecasting.policy.eligibility import MEASURES, eligibility, in_effect
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Eligibility
from forecasting.reference.chips import Chip
from pipelines.evidence.figure_records import Condition, Finding, Term
from pipelines.evidence.verdicts import MET, NOT_MET, NOT_SHOWN, certainty_says, term

WORDS = {
    "tpp_below": "The chip's total processing performance (TPP) is below {0:,.0f}.",
    "bandwidth_gb_per_s_below": "The chip's total DRAM bandwidth is below {0:,.0f} GB/s.",
    "available_in_us_on": "The chip was commercially available in the United States on {0}.",
    "interconnect_gb_per_s_below": "The chip's interconnect bandwidth is below {0:,.0f} GB/s.",
    "bandwidth_and_interconnect_gb_per_s_below": (
        "The chip's DRAM and interconnect bandwidth together are below {0:,.0f} GB/s."
    ),
    "tpp_at_most_ratio_of_best_chinese": "The chip's TPP is at most {0:g} times the best Chinese chip's.",
    "interconnect_at_most_ratio_of_best_chinese": (
        "The chip's interconnect bandwidth is at most {0:g} times the best Chinese chip's."
    ),
    "bandwidth_at_most_ratio_of_best_chinese": (
        "The chip's DRAM bandwidth is at most {0:g} times the best Chinese chip's."
    ),
}
RELATIVE = (
    "Compared with the most capable chip by TPP of vendors seated in China in the chip table, whose figures "
    "are partly estimates. A comparison of two numbers; no sampling."
)
LINK = (
    "Interconnect bandwidth in both directions of all links, from the chip's published data where a data "
    "sheet was at hand. A comparison of two numbers; no sampling."
)
HOW = {
    "tpp_below": (
        "TPP is the highest product of dense TOPS and bit length over number formats (15 CFR part 774, "
        "notes to 3A090), from the chip's published rates. A comparison of two numbers; no sampling."
    ),
    "bandwidth_gb_per_s_below": (
        "Memory bandwidth from the chip's published data. A comparison of two numbers; no sampling."
    ),
    "available_in_us_on": (
        "Launches are known to the quarter. A chip counts as available if its launch quarter had ended "
        "by the day; where the day lies in the launch quarter, the data cannot tell."
    ),
    "interconnect_gb_per_s_below": LINK,
    "bandwidth_and_interconnect_gb_per_s_below": LINK,
    "tpp_at_most_ratio_of_best_chinese": RELATIVE,
    "interconnect_at_most_ratio_of_best_chinese": RELATIVE,
    "bandwidth_at_most_ratio_of_best_chinese": RELATIVE,
}


CHINESE = "vendors in China"  # row set of all chips that a relative limit looks at


def chip_rows(chip: Chip, name: str) -> list[str]:
    """Names of the row sets that hold the specifications which a limit asks for."""
    return [f"chips/{chip.chip_id}", *([f"chips/{CHINESE}"] if name in MEASURES else [])]


def condition(
    name: str, words: str, *, policy: Policy, terms: Sequence[Term], how: str, findings: Sequence[Finding]
) -> Condition:
    """One computed condition in words, with citation, terms, method and findings."""
    part = name.split(".", maxsplit=1)[0]
    stated = policy.stated(name) or policy.stated(part)
    certainty = stated.certainty if stated else policy.certainty.get(name)
    return Condition(
        condition=name,
        kind="computed",
        words=words,
        citation=" ".join(policy.source.split()),
        section=stated.section if stated else policy.sections.get(name),
        certainty=certainty,
        certainty_says=certainty_says(certainty),
        terms=tuple(terms),
        note=policy.notes.get(name),
        how=how,
        findings=tuple(findings),
    )


def review(policy: Policy) -> Condition:
    """Whether licences are reviewed at all rather than presumed denied."""
    denied = policy.review == "denial"
    why = (
        "Licences are reviewed under a presumption of denial, so no chip passes."
        if denied
        else "Licences are reviewed case by case. Whether one is granted is not forecast here."
    )
    return condition(
        "review",
        "Licence applications are reviewed case by case, not under a presumption of denial.",
        policy=policy,
        terms=[term(policy, "review", policy.review)],
        how="Read from the policy file.",
        findings=[Finding(verdict=NOT_MET if denied else MET, why=why, figure=policy.review)],
    )


def effective(policy: Policy, end: dt.date) -> Condition:
    """Whether the policy applies in the period that ends on a day, the first in which exports could go."""
    applies, begins = bool(in_effect(policy, [end])[0]), policy.begins
    if begins is None:
        days = policy.enactment.days_after if policy.enactment else 0
        since = f"{days} days after its enactment" if days else "its enactment"
        words = f"The policy applies (from {since})."
        why = "The bill is not law as far as the policy file says, so it is not in effect."
    else:
        words = f"The policy applies (from {begins})."
        why = (
            f"The period that ends on {end} {'lies in or after' if applies else 'lies before'} the one that "
            f"holds {begins}."
        )
    figure = begins.isoformat() if begins else None
    return condition(
        "effective_date",
        words,
        policy=policy,
        terms=[term(policy, "effective_date", begins)],
        how=(
            "The end of the first period after now, before which nothing is exported, is compared with the "
            "day from which the policy file lets the policy apply."
        ),
        findings=[Finding(verdict=MET if applies else NOT_MET, why=why, figure=figure)],
    )


def eligibility_conditions(policy: Policy, chips: Sequence[Chip], among: Collection[Chip]) -> list[Condition]:
    """One condition per limit that the policy sets on chips; a relative one looks among all of `among`."""
    conditions = []
    for name, words in WORDS.items():
        value = getattr(policy.eligibility, name)
        if value is not None:
            element = f"eligibility.{name}"
            conditions.append(
                condition(
                    element,
                    words.format(value),
                    policy=policy,
                    terms=[term(policy, element, value)],
                    how=HOW[name],
                    findings=[_chip_finding(policy, name, chip, among) for chip in chips],
                )
            )
    return conditions


def _chip_finding(policy: Policy, name: str, chip: Chip, among: Collection[Chip]) -> Finding:
    """One chip held against one limit, by the same code that decides over eligibility."""
    value = getattr(policy.eligibility, name)
    alone = replace(policy, review="case_by_case", eligibility=Eligibility(**{name: value}))
    figure = _figure(chip, name)
    rows = tuple(chip_rows(chip, name))
    if figure is None:
        why = "The figure is not published."
        return Finding(chip=chip.chip_id, verdict=NOT_SHOWN, why=why, rows=rows)
    verdict = eligibility(chip, alone, chips=among)
    result = MET if verdict.eligible else NOT_MET
    if name == "available_in_us_on" and period_end(value, Frequency.QUARTER) == chip.launch_quarter_end:
        result = MET if verdict.eligible else NOT_SHOWN
    why = f"{'; '.join(verdict.reasons)}."
    return Finding(chip=chip.chip_id, verdict=result, why=why, figure=figure, rows=rows)


def _figure(chip: Chip, name: str) -> float | str | None:
    """The figure of a chip that a limit looks at; None where it is not published."""
    link, bandwidth = chip.interconnect_gb_per_s, chip.memory_bandwidth_gb_per_s
    if name == "available_in_us_on":
        return chip.launch_quarter_end.isoformat()
    if name in MEASURES:
        return MEASURES[name][2](chip)
    if name == "bandwidth_and_interconnect_gb_per_s_below":
        return None if link is None or bandwidth is None else link + bandwidth
    return {"bandwidth_gb_per_s_below": bandwidth, "interconnect_gb_per_s_below": link}.get(name, chip.tpp)
