"""From tokenised rows to batches without padding."""
