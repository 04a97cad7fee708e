"""What a step is given: context, inputs read from the run before, and results."""
