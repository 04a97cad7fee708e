"""All conditions of a policy in the order of the rule, each computed, attested or open, and their count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from forecasting.policy.clauses import FOUNDRY, StatedCondition
from forecasting.policy.policy import Policy
from forecasting.reference.chips import Chip
from forecasting.windows.tables import Estimator
from pipelines.evidence.amounts import cap_conditions, foundry_condition, stock_limit_conditions
from pipelines.evidence.conditions import effective, eligibility_conditions, review
from pipelines.evidence.figure_records import Attestation, Basis, Condition, Finding, Overall, Verdict
from pipelines.evidence.us_supply import supply_conditions
from pipelines.evidence.verdicts import ATTESTED, OPEN, certainty_says, together


def ordered_conditions(
    estimator: Estimator,
    policy: Policy,
    *,
    passed: Sequence[Chip],
    among: Collection[Chip],
    basis: Basis,
    attestations: Sequence[Attestation] = (),
) -> list[Condition]:
    """Every condition of a policy, in the order of the rule.

    Parameters
    ----------
    estimator : Estimator
    policy : Policy
    passed : sequence of Chip
        Those that the policy lets through.
    among : collection of Chip
        Those among which the best Chinese chip is looked up.
    basis : Basis
    attestations : sequence of Attestation
    """
    said = {each.condition: each for each in attestations}
    found: list[Condition] = []
    for name in policy.order:
        stated = policy.stated(name)
        if stated is None or stated.is_computed:
            computed = _computed(name, estimator, policy, passed=passed, among=among, basis=basis)
            found += [each.model_copy(update={"attestation": said.get(name)}) for each in computed]
        else:
            found.append(_attested(stated, policy, said.get(name)))
    return found


def _computed(
    name: str,
    estimator: Estimator,
    policy: Policy,
    *,
    passed: Sequence[Chip],
    among: Collection[Chip],
    basis: Basis,
) -> list[Condition]:
    """The computed conditions of one name: eligibility and supply have several."""
    builders: dict[str, Callable[[], Sequence[Condition]]] = {
        "effective_date": lambda: [effective(policy, basis.next_period)],
        "review": lambda: [review(policy)],
        "eligibility": lambda: eligibility_conditions(policy, estimator.chips(), among),
        "supply": lambda: supply_conditions(estimator, policy, passed),
        FOUNDRY: lambda: [foundry_condition(estimator, policy, passed)],
        "cap": lambda: cap_conditions(estimator, policy, passed, data=basis.data),
        "stock_limit": lambda: stock_limit_conditions(estimator, policy, passed),
    }
    return list(builders[name]())


def _attested(stated: StatedCondition, policy: Policy, said: Attestation | None) -> Condition:
    """A condition that no data can show: as somebody attested it, or open."""
    if said is None:
        why = "Nobody has attested it."
    else:
        checked = (
            "checked when this was written" if said.checked else "as stated, the document was not at hand"
        )
        why = f"{said.by}, on {said.date}: {said.statement} Document: {said.document} (SHA-256 {checked})."
    return Condition(
        condition=stated.name,
        kind="open" if said is None else "attested",
        words=" ".join((stated.words or "").split()),
        citation=" ".join(policy.source.split()),
        section=stated.section,
        certainty=stated.certainty,
        certainty_says=certainty_says(stated.certainty),
        terms=(),
        note=None,
        how="Not computed: no data here shows it. What is attested is repeated as stated and not examined.",
        attestation=said,
        findings=(Finding(verdict=OPEN if said is None else ATTESTED, why=why),),
    )


def _spoken(name: str) -> str:
    """A condition's name in words, as iaas_model_weights: IaaS model weights."""
    words = {"us": "US", "iaas": "IaaS", "know_your_customer": "know-your-customer"}
    return words.get(name, " ".join(words.get(word, word) for word in name.split("_")))


def overall(conditions: Sequence[Condition]) -> Overall:
    """All conditions counted."""
    kinds = Counter(each.kind for each in conditions)
    missing = [_spoken(each.condition) for each in conditions if each.kind == "open"]
    last = (
        f" Open: {', '.join(missing)}. While a condition is open, all conditions together are not met."
        if missing
        else ""
    )
    return Overall(
        conditions=len(conditions),
        computed=kinds["computed"],
        attested=kinds["attested"],
        open=kinds["open"],
        sentence=(
            f"Of {len(conditions)} conditions of the policy file {kinds['computed']} are computed from data, "
            f"{kinds['attested']} attested and {kinds['open']} open.{last}"
        ),
    )


def computed_verdict(conditions: Sequence[Condition], chip: str, scope: str, *, by_paths: Verdict) -> Verdict:
    """Worst verdict on the computed conditions of one chip and scope.

    Parameters
    ----------
    conditions : sequence of Condition
    chip, scope : str
    by_paths : Verdict
        That on the share of paths on which all those hold that open a window.
    """
    others = [
        finding.verdict
        for each in conditions
        if each.condition == FOUNDRY and each.attestation is None
        for finding in each.findings
        if (finding.chip, finding.scope) == (chip, scope)
    ]
    return together([by_paths, *others], open_conditions=0)
