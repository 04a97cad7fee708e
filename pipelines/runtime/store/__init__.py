"""Where runs are recorded: the store's address, credentials and tag names."""
