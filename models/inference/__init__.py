"""Forecasts by a trained network: checked inputs, checkpoints, joint paths."""
