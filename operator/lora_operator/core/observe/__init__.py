"""What was observed: resources, Jobs, pods and Workloads, trimmed to what decisions need."""
