"""What a policy says about itself: its conditions in the order of the rule, its reading, its enactment."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from forecasting.policy.terms import Scope, require

Certainty: TypeAlias = Literal["H", "M", "L", "open"]

FOUNDRY = "foundry_capacity"
COMPUTED = ("effective_date", "review", "eligibility", "supply", FOUNDRY, "cap", "stock_limit")
"""Conditions that are computed: parts of a policy, and the foundry capacity behind the units."""
ATTESTED_TOO = frozenset([FOUNDRY])
"""Computed ones that data cannot settle, so that they may be attested as well."""
SLUG = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class StatedCondition:
    """One condition of a rule, in the order in which the rule has it.

    Attributes
    ----------
    name : str
        One of `COMPUTED`, or a short name of a condition that only somebody can attest.
    section : str
        Where it stands.
    certainty : {"H", "M", "L", "open"}
        How certain its content is, as in `Policy.certainty`.
    words : str, optional
        The condition in a sentence; needed where it is not computed.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    section: str
    certainty: Certainty
    words: str | None = None

    def __post_init__(self) -> None:
        require(
            SLUG.fullmatch(self.name) is not None,
            "a condition needs a short name",
            expected="lower-case letters, digits and underscores",
            found=repr(self.name),
            where="conditions",
        )
        where = f"conditions.{self.name}"
        require(
            bool(self.section.strip()),
            "a condition must name its section",
            expected="text",
            found="nothing",
            where=where,
        )
        require(
            self.is_computed or bool((self.words or "").strip()),
            "a condition that is not computed must be stated in words",
            expected="words, or one of " + ", ".join(COMPUTED),
            found="none",
            where=where,
        )

    @property
    def is_computed(self) -> bool:
        """Whether it is computed from data."""
        return self.name in COMPUTED

    @property
    def may_be_attested(self) -> bool:
        """Whether somebody's attestation can bear on it."""
        return not self.is_computed or self.name in ATTESTED_TOO


@dataclass(frozen=True, kw_only=True)
class SupportedReading:
    """Whose US orders the text of a policy means, as far as it can be told, how sure that is, and why."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    scope: Scope
    certainty: Certainty
    reason: str


@dataclass(frozen=True, kw_only=True)
class Enactment:
    """A bill takes effect so many days after it has become law; until then it is not in effect.

    Attributes
    ----------
    enacted : date or None
        Day on which it became law; None while it has not.
    days_after : int
        Days from then until it applies.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    enacted: dt.date | None
    days_after: int

    def __post_init__(self) -> None:
        require(
            self.days_after >= 0,
            "a bill cannot apply before it is law",
            expected=">= 0 days",
            found=self.days_after,
            where="enactment.days_after",
        )

    @property
    def begins(self) -> dt.date | None:
        """First day on which it applies."""
        return None if self.enacted is None else self.enacted + dt.timedelta(days=self.days_after)
