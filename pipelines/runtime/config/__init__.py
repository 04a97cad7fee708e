"""Settings: declared, read from YAML, validated before any work."""
