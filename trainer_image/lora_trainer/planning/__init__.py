"""What is known before training: memory, micro batch, rows to evaluate on."""
