"""The backtest step: every forecaster at every origin of the past, scored against the actuals."""
