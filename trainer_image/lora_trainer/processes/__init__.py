"""One run in several processes: one for each GPU of a pod, and the same in each pod of a Job."""
