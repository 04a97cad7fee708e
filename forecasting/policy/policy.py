"""Export policies as data: eligible chips, when US demand counts as met, how much may be exported, the duty.

Every threshold is in a file of `configs/policy/`; here a policy is checked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, TypeAlias

from forecasting.policy.clauses import (
    COMPUTED,
    Certainty,
    Enactment,
    StatedCondition,
    SupportedReading,
)
from forecasting.policy.terms import (
    Cap,
    Eligibility,
    StockLimit,
    SupplyRule,
    TariffBand,
    require,
)

Review: TypeAlias = Literal["case_by_case", "denial"]


ELEMENTS = frozenset(
    ["effective_date", "review", "eligibility", "supply", "cap", "stock_limit", "tariff"]
    + [f"eligibility.{f.name}" for f in fields(Eligibility)]
    + [f"supply.{f.name}" for f in fields(SupplyRule)]
    + [f"cap.{f.name}" for f in fields(Cap)]
    + [f"stock_limit.{f.name}" for f in fields(StockLimit)]
)
"""Names by which `certainty`, `sections` and `notes` refer to the parts of a policy."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One export policy, in force or proposed.

    Attributes
    ----------
    name, title : str
        Short name (that of its file) and a title for people.
    effective_date : date or None
        First day on which the policy applies; for a bill the day from which it is assumed to apply.
    enactment : Enactment or None
        In its place for a bill that applies from some days after it becomes law, and not before.
    source : str
        Citation.
    review : {"case_by_case", "denial"}
        Under a presumption of denial no chip is eligible.
    eligibility : Eligibility
    supply : SupplyRule
    cap : Cap or None
        None where the policy sets no limit relative to US shipments.
    stock_limit : StockLimit or None
        None where the policy sets no limit relative to the US stock.
    tariff : tuple of TariffBand
        Duty due on the import that precedes an export; empty where there is none.
    conditions : tuple of StatedCondition
        All conditions in the order of the rule. Computed ones that are left out come first.
    reading : SupportedReading or None
        Whose US orders the text means; None where the file does not say.
    certainty : mapping of element to {"H", "M", "L", "open"}
        How certain each element is: H read in the primary text or two sources agree, M one good secondary
        source, L one weak source or an inference, open not stated anywhere.
    sections : mapping of element to str
        Where each element stands in the text.
    notes : mapping of element to str
        What a reader of the evidence needs to know about an element.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    title: str
    source: str
    review: Review
    eligibility: Eligibility
    supply: SupplyRule
    effective_date: dt.date | None = None
    enactment: Enactment | None = None
    cap: Cap | None = None
    stock_limit: StockLimit | None = None
    tariff: tuple[TariffBand, ...] = ()
    conditions: tuple[StatedCondition, ...] = ()
    reading: SupportedReading | None = None
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("name", "title", "source"):
            stated = getattr(self, key).strip()
            require(
                bool(stated), f"a policy must state its {key}", expected="text", found="nothing", where=key
            )
        for key in ("certainty", "sections", "notes"):
            unknown = sorted(set(getattr(self, key)) - ELEMENTS)
            require(
                not unknown,
                "unknown element of a policy",
                expected="one of " + ", ".join(sorted(ELEMENTS)),
                found=", ".join(unknown),
                where=key,
            )
        require(
            (self.effective_date is None) != (self.enactment is None),
            "a policy applies from a day, or from its enactment",
            expected="effective_date or enactment",
            found="both" if self.enactment else "neither",
            where=self.name,
        )
        self._check_conditions()
        scopes = self.supply.scopes
        require(
            self.reading is None or self.reading.scope in scopes,
            "the reading that the text supports must be one of the scopes",
            expected=" or ".join(scopes),
            found=self.reading.scope if self.reading else "",
            where="reading.scope",
        )

    def _check_conditions(self) -> None:
        """Refuse a condition that comes twice, or that is computed from a part which the policy lacks."""
        names = [each.name for each in self.conditions]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(
            not twice,
            "a condition comes once",
            expected="each name once",
            found=", ".join(twice),
            where="conditions",
        )
        lacking = [name for name in ("cap", "stock_limit") if name in names and getattr(self, name) is None]
        require(
            not lacking,
            "a computed condition needs its part of the policy",
            expected=f"the key {lacking[0] if lacking else ''}",
            found="none",
            where="conditions",
        )

    @property
    def begins(self) -> dt.date | None:
        """First day on which the policy applies; None for a bill that is not law."""
        return self.effective_date if self.enactment is None else self.enactment.begins

    @property
    def order(self) -> tuple[str, ...]:
        """Names of all conditions: computed ones that the file does not list, then those it lists, in order.

        Foundry capacity is a condition only where a policy lists it.
        """
        listed = [each.name for each in self.conditions]
        parts = {"cap": self.cap, "stock_limit": self.stock_limit, "foundry_capacity": None}
        implied = [name for name in COMPUTED if name not in listed and parts.get(name, True) is not None]
        return (*implied, *listed)

    @property
    def attestable(self) -> tuple[str, ...]:
        """Names of the conditions on which an attestation can bear, in order."""
        return tuple(each.name for each in self.conditions if each.may_be_attested)

    def stated(self, name: str) -> StatedCondition | None:
        """What the file states of a condition; None where it is computed and not listed."""
        return next((each for each in self.conditions if each.name == name), None)
