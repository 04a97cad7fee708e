"""A vendor's own order book: its contract, exact series, the US-first check, and the panel it becomes."""
