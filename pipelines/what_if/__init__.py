"""What the outcome depends on: assumptions moved through their ranges, on common random numbers."""
