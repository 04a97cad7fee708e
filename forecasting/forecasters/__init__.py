"""Forecasters of joint paths: the protocol they share, statistical models, the structural bank, mixtures."""
