"""Objects in S3 or on disk."""
