"""Why a pod ended, why one does not start, and what to do about it."""
