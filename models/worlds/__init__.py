"""Synthetic worlds: every series that the network is trained on, made on the training device."""
