"""What a queue system says about a Job that waits."""
