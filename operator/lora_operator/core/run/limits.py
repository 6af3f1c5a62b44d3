"""How long the operator waits for what, in seconds; and how long a message may be, in bytes."""

#: A pod or Workload this young is not yet in trouble: what it says changes by the moment.
SETTLE = 3.0
#: A pod ended in a way that ends its Job: how long the Job's own condition is waited for, to write both at once.
JOB_GRACE = 10.0
#: A missing Secret may be on its way (one `kubectl apply` of many files); after this the run fails.
CONFIG_GRACE = 15.0
#: Causes that an administrator may remove (image, volume, ServiceAccount, admission): then the run fails.
WAIT_LIMIT = 600.0
#: Between two tries to create a Job that was refused.
RETRY = 15.0
#: Between the first readings of a Job's Warning Events; later ones are a quarter of the wait apart, up to a minute.
FIRST_READINGS = 5.0
#: A container that is created this long waits for its image or for a volume; then its pod's Warning Events are read.
VOLUMES_SETTLE = 20.0
LONGEST_READINGS = 60.0
#: Without a Workload for this long, the queue itself is in trouble.
QUEUE_GRACE = 10.0
#: A pod on a node that stopped answering is given up this long after the end of its grace period.
NODE_GRACE = 15.0
#: A pod whose work is over is kept by other containers: until they are named, and until the result is taken.
SIDECAR_SETTLE = 15.0
SIDECAR_WAIT = 300.0
#: Between two writes of the status for nothing but progress.
PROGRESS_INTERVAL = 5.0
#: What was read of the nodes' GPUs serves the runs that ask within this.
GPU_MEMORY_FRESH = 10.0
#: Between two looks of a run that waits for an identical one; changes of that one lead to a look at once.
IDENTICAL_INTERVAL = 60.0
#: A run waits no longer for identical ones, all its waits together: then prepare asks S3, and it trains itself.
IDENTICAL_WAIT = 24 * 3600.0
#: Train pods that may end with exit code 70 before the run fails: a defect that is met twice is met again.
INTERNAL_ERRORS = 2
#: Times a started train Job may be deleted by somebody before the run fails.
JOB_DELETIONS = 3
#: Of a message in the status, of a condition or an error: the schema allows 1024.
LONGEST_MESSAGE = 1000
