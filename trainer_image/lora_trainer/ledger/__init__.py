"""What a run writes below `_work/`: claims, checkpoints, attempts, keys."""
