"""What changes the outcome: scenarios on sampled paths, and the sensitivity of the outcome to assumptions."""
