"""Export windows on each path: when they open, what limits them, and how much may leave."""
