"""Export policies: those that ship or your own files, which chips they let through, and at what duty.

Examples
--------
>>> from overspill import chips, policies
>>> policies.packaged_policies()
['bis_2026_01', 'gain_ai_no_backlog', 'presumption_of_denial', 'safe_chips_act_2025', 'scale_act_2026']
>>> rule = policies.load_policy("bis_2026_01")
>>> rule.supply.fill_rate_min, rule.cap.ratio
(0.95, 0.5)
>>> policies.duty_rate(chips.chip("H200"), rule)
0.25
>>> rule.reading.scope, rule.reading.certainty
('product', 'M')
>>> policies.is_outside_duty_bands(chips.chip("H100"), rule)
True
"""

from forecasting.policy.clauses import Enactment, StatedCondition, SupportedReading
from forecasting.policy.eligibility import Eligible, duty_rate, eligibility, in_effect, is_outside_duty_bands
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Eligibility, StockLimit, SupplyRule, TariffBand
from pipelines.runtime.config.loader import load_policy, packaged_policies

__all__ = [
    "Cap",
    "Eligibility",
    "Eligible",
    "Enactment",
    "Policy",
    "StatedCondition",
    "StockLimit",
    "SupplyRule",
    "SupportedReading",
    "TariffBand",
    "duty_rate",
    "eligibility",
    "in_effect",
    "is_outside_duty_bands",
    "load_policy",
    "packaged_policies",
]
