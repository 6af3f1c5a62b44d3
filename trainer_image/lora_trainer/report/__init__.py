"""What people read of a run: HTML report, model card."""
