"""Published adapters in S3, read with the user's own credentials or those of the run."""
