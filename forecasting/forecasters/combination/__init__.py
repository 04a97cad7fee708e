"""A combination of forecasters whose weights are learned at the end of the histories."""

from forecasting.forecasters.combination.forecaster import CombinationForecaster
from forecasting.forecasters.combination.members import Member, Prior

__all__ = ["CombinationForecaster", "Member", "Prior"]
