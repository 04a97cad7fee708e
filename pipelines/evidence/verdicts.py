"""Verdicts, and how their terms, quantiles and figures become records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecasting.panel.history import Floats
from forecasting.policy.policy import Policy
from forecasting.windows.schema import q
from pipelines.evidence.figure_records import Figures, Json, Term, Verdict
from pipelines.figures.number_format import percent

MET: Verdict = "met"
NOT_MET: Verdict = "not met"
NOT_SHOWN: Verdict = "cannot be shown from data"
ATTESTED: Verdict = "attested"
OPEN: Verdict = "open"

WEAK = 0.5  # up to here "met" may be a toss-up

CERTAINTY = {
    "H": "read in the primary text, or two sources agree",
    "M": "one decent secondary source",
    "L": "one weak source, or an inference",
    "open": "not stated anywhere that could be read",
}
"""What the letters of a policy file say (see `forecasting.policy.policy.Policy.certainty`)."""


def by_probability(probability: float, confidence: float) -> Verdict:
    """Verdict on a condition that holds with a probability.

    Met if the probability is at least the stated threshold; else not met if the opposite is; else it
    cannot be shown from the data.
    """
    if probability >= confidence:
        return MET
    return NOT_MET if 1.0 - probability >= confidence else NOT_SHOWN


FACTS = {"public": "published facts", "order_book": "published facts about the chip or the policy"}


def rule_of_verdicts(confidence: float, *, data: str) -> str:
    """The rule above in words."""
    weak = " At this threshold it says only which is the likelier." if confidence <= WEAK else ""
    least = percent(confidence, digits=None)
    return (
        f"A condition that depends on US demand is {MET} if it holds on at least {least} of "
        f"the sampled paths (the stated threshold), {NOT_MET} if it fails on at least as many, and "
        f"otherwise {NOT_SHOWN}.{weak} A condition on {FACTS[data]} is {MET} or {NOT_MET} by those "
        f"facts. Where a figure is missing the verdict is: {NOT_SHOWN}. A condition that no data can show is "
        f"{ATTESTED} if somebody stated it with a document, whose content is not examined here, and else "
        f"{OPEN}. All conditions together are {MET} only if no computed one fails and none is {OPEN}. A "
        "verdict speaks of the model and the assumptions below, under the reading of the policy that is "
        "shown, and of no more."
    )


def term(policy: Policy, element: str, value: object) -> Term:
    """One threshold of a policy, with how sure it is and what a reader must know."""
    return Term(value=plain(value), **certainty_of(policy, element))


def certainty_of(policy: Policy, element: str) -> Json:
    """How sure a term of a policy is: the fields of `Term` besides its value."""
    certainty = policy.certainty.get(element)
    return {
        "element": element,
        "certainty": certainty,
        "certainty_says": certainty_says(certainty),
        "section": policy.sections.get(element),
        "note": policy.notes.get(element),
    }


def certainty_says(certainty: str | None) -> str:
    """What a letter says; that the file says nothing where there is none."""
    return "the policy file does not say" if certainty is None else CERTAINTY[certainty]


def together(computed: Sequence[Verdict], *, open_conditions: int) -> Verdict:
    """Verdict on all conditions together: the worst of the computed ones, never met while one is open."""
    for verdict in (NOT_MET, NOT_SHOWN):
        if verdict in computed:
            return verdict
    return OPEN if open_conditions else MET


def quantiles_of(values: Floats, levels: Sequence[float], *, method: str = "linear") -> Figures:
    """Quantiles over paths by column name; None where infinite."""
    found = np.quantile(values, levels, method=method)  # type: ignore[call-overload]
    return {q(level): plain(float(value)) for level, value in zip(levels, found, strict=True)}


def plain(value: object) -> Any:  # noqa: ANN401 - JSON is untyped
    """Dates as text, numbers that are not finite as None, tuples as lists, through and through."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
