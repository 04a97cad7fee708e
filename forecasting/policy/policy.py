"""Export policies as data: eligible chips, when US demand counts as met, how much may be exported, the duty.

Every threshold is in a file of `configs/policy/`; here a policy is checked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, TypeAlias

from forecasting.policy.terms import (
    Cap,
    Eligibility,
    SupplyRule,
    TariffBand,
    require,
)

Review: TypeAlias = Literal["case_by_case", "denial"]
Certainty: TypeAlias = Literal["H", "M", "L", "open"]


ELEMENTS = frozenset(
    ["effective_date", "review", "eligibility", "supply", "cap", "tariff"]
    + [f"eligibility.{f.name}" for f in fields(Eligibility)]
    + [f"supply.{f.name}" for f in fields(SupplyRule)]
    + [f"cap.{f.name}" for f in fields(Cap)]
)
"""Names by which `certainty` and `notes` refer to the parts of a policy."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One export policy, in force or proposed.

    Attributes
    ----------
    name, title : str
        Short name (that of its file) and a title for people.
    effective_date : date
        First day on which the policy applies; for a bill the day from which it is assumed to apply.
    source : str
        Citation.
    review : {"case_by_case", "denial"}
        Under a presumption of denial no chip is eligible.
    eligibility : Eligibility
    supply : SupplyRule
    cap : Cap or None
        None where the policy sets no limit relative to US shipments.
    tariff : tuple of TariffBand
        Duty due on export; empty where there is none.
    certainty : mapping of element to {"H", "M", "L", "open"}
        How certain each element is: H read in the primary text or two sources agree, M one good secondary
        source, L one weak source or an inference, open not stated anywhere.
    notes : mapping of element to str
        What a reader of the evidence needs to know about an element.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    title: str
    effective_date: dt.date
    source: str
    review: Review
    eligibility: Eligibility
    supply: SupplyRule
    cap: Cap | None = None
    tariff: tuple[TariffBand, ...] = ()
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("name", "title", "source"):
            stated = getattr(self, key).strip()
            require(
                bool(stated), f"a policy must state its {key}", expected="text", found="nothing", where=key
            )
        for key in ("certainty", "notes"):
            unknown = sorted(set(getattr(self, key)) - ELEMENTS)
            require(
                not unknown,
                "unknown element of a policy",
                expected="one of " + ", ".join(sorted(ELEMENTS)),
                found=", ".join(unknown),
                where=key,
            )
