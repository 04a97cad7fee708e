"""A bank of structural hypotheses, averaged by their exact posterior: closed forms, joint paths."""

from forecasting.forecasters.bank.average import bank_posterior
from forecasting.forecasters.bank.catalogue import FAMILIES, catalogue
from forecasting.forecasters.bank.forecaster import LONGEST_HORIZON, BankForecaster
from forecasting.forecasters.bank.posterior import BankPosterior
from forecasting.forecasters.bank.settings import BankSettings

__all__ = [
    "FAMILIES",
    "LONGEST_HORIZON",
    "BankForecaster",
    "BankPosterior",
    "BankSettings",
    "bank_posterior",
    "catalogue",
]
