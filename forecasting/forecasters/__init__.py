"""Forecasters: whatever samples joint futures of a history."""
