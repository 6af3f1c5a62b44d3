"""What is known of the past of a run: attempts, progress, use of time."""
