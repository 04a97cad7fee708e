"""Incremental aggregation: each file is summarised once and its summary reused."""
