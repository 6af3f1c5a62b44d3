"""What to do about each stage of a run."""
