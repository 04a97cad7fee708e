"""A bank of structural hypotheses, averaged by their exact posterior: closed forms, joint paths."""

from forecasting.forecasters.bank.average import bank_posterior
from forecasting.forecasters.bank.catalogue import FAMILIES, catalogue
from forecasting.forecasters.bank.forecaster import BankForecaster
from forecasting.forecasters.bank.posterior import BankPosterior
from forecasting.forecasters.bank.settings import BankSettings

__all__ = ["FAMILIES", "BankForecaster", "BankPosterior", "BankSettings", "bank_posterior", "catalogue"]
