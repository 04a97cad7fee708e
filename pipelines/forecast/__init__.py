"""The forecast step and `predict`: joint paths for the panel or for any table."""
