"""The steps (etl, backtest, forecast, windows), their configuration, MLflow tracking and the command line."""
