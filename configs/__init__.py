"""YAML files only; this file lets `importlib.resources` find them."""
