"""The etl step: raw sources become the panel."""
