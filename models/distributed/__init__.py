"""Several processes as one training: launch, ranks, process group and signals."""
