"""Training of the network: losses over batches of worlds, optimizer, checkpoints, fine-tuning."""
