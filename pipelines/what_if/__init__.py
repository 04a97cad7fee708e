"""What the answer hangs on: assumptions moved through their ranges, on common random numbers."""
