"""What the operator remembers of the cluster, and the queue of what to look at."""
