"""Verdicts, and the small frozen records that every condition of a policy is told in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from forecasting.panel.history import Floats
from forecasting.policy.policy import Policy
from forecasting.windows.schema import q
from pipelines.figures.format import percent

Plain: TypeAlias = dict[str, Any]

MET, NOT_MET, NOT_SHOWN = "met", "not met", "cannot be shown from data"

WEAK = 0.5  # up to here "met" may be a toss-up

CERTAINTY = {
    "H": "read in the primary text, or two sources agree",
    "M": "one decent secondary source",
    "L": "one weak source, or an inference",
    "open": "not stated anywhere that could be read",
}
"""What the letters of a policy file say (see `forecasting.policy.policy.Policy.certainty`)."""


def by_probability(probability: float, confidence: float) -> str:
    """Verdict on a condition that holds with a probability.

    Met if the probability is at least the configured confidence; else not met if the opposite is; else it
    cannot be shown from the data.
    """
    if probability >= confidence:
        return MET
    return NOT_MET if 1.0 - probability >= confidence else NOT_SHOWN


def rule_of_verdicts(confidence: float) -> str:
    """The rule above in words."""
    weak = " At this confidence it says only which is the likelier." if confidence <= WEAK else ""
    least = percent(confidence, digits=None)
    return (
        f"A condition that depends on US demand is {MET} if it holds on at least {least} of "
        f"the sampled paths (the configured confidence), {NOT_MET} if it fails on at least as many, and "
        f"otherwise {NOT_SHOWN}.{weak} A condition on published facts is {MET} or {NOT_MET} by those "
        f"facts. Where a figure is missing the verdict is: {NOT_SHOWN}. A verdict speaks of the model and "
        "the assumptions below, under the reading of the policy that is shown, and of no more."
    )


def term(policy: Policy, element: str, value: object) -> Plain:
    """One threshold of a policy, with how sure it is and what a reader must know."""
    certainty = policy.certainty.get(element)
    return {
        "element": element,
        "value": plain(value),
        "certainty": certainty,
        "certainty_says": "the policy file does not say" if certainty is None else CERTAINTY[certainty],
        "note": policy.notes.get(element),
    }


def finding(
    verdict: str,
    why: str,
    *,
    case: Mapping[str, str | None] | None = None,
    figure: float | str | None = None,
    quantiles: Mapping[str, Any] | None = None,
    probability: float | None = None,
    rows: Sequence[str] = (),
) -> Plain:
    """What was found on one case (chip and scope; neither for the policy as a whole)."""
    of = case or {}
    return {
        "chip": of.get("chip"),
        "scope": of.get("scope"),
        "verdict": verdict,
        "why": why,
        "figure": figure,
        "quantiles": plain(quantiles) if quantiles is not None else None,
        "probability": probability,
        "rows": list(rows),
    }


def quantiles_of(values: Floats, levels: Sequence[float], *, method: str = "linear") -> Plain:
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
