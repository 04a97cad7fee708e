"""What moves the answer: scenarios on sampled paths, and the sensitivity of the outcome to assumptions."""
