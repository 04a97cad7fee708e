"""Forecasters of joint paths: the protocol they share, the statistical models, and mixtures."""
