"""Prometheus metrics. Labels are bounded: verbs, codes, phases and reasons, never names of runs.

One metric is counted by namespace, so that a platform can charge its teams.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from lora_contract.version import __version__

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_LONG = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)

# the process
BUILD = Gauge("lora_operator_build_info", "Always 1; the label carries the version.", ["version"])
BUILD.labels(version=__version__).set(1)
LEADER = Gauge("lora_operator_leader", "1 while this process acts, 0 while it stands by.")
RECONCILES = Counter("lora_operator_reconcile_total", "Looks at runs and sweeps: success, error.", ["result"])
RECONCILE_SECONDS = Histogram("lora_operator_reconcile_duration_seconds", "Seconds of one look.", buckets=_FAST)
QUEUE_DEPTH = Gauge("lora_operator_workqueue_depth", "Runs and sweeps that wait for a look that is due.")
QUEUE_OLDEST = Gauge("lora_operator_workqueue_oldest_seconds", "Seconds that the first of them has waited.")
API_REQUESTS = Counter(
    "lora_operator_api_requests_total",
    "Requests to the API server by HTTP code; unreachable: no answer.",
    ["verb", "code"],
)
API_SECONDS = Histogram(
    "lora_operator_api_request_duration_seconds", "Seconds of a request to the API server.", ["verb"], buckets=_FAST
)
WATCH_STARTS = Counter(
    "lora_operator_watch_starts_total", "Starts of the watches by what ended those before; start: the first.", ["cause"]
)
LAST_EVENT = Gauge(
    "lora_operator_last_event_timestamp_seconds", "When a watch last told of a change, in Unix time.", ["resource"]
)
STATUS_WRITES = Counter(
    "lora_operator_status_writes_total", "Writes of a status: written, conflict, refused by the CRD.", ["result"]
)
EVENTS = Counter(
    "lora_operator_events_total", "Kubernetes Events: created, failed, dropped because there were too many.", ["result"]
)
PROGRESS_REPORTS = Counter("lora_operator_progress_reports_total", "Reports of pods by HTTP code.", ["code"])

# the runs
JOBS_CREATED = Counter("lora_finetune_jobs_created_total", "Jobs created: prepare, train, check.", ["stage"])
RUNS_FINISHED = Counter(
    "lora_finetune_finished_total", "Runs that reached their end: complete, failed; and why.", ["result", "reason"]
)
ATTEMPTS = Counter("lora_finetune_attempts_total", "Pods of runs that ended, by why.", ["reason"])
RUN_SECONDS = Histogram(
    "lora_finetune_duration_seconds", "From first sight to the end of a run.", ["result"], buckets=_LONG
)
QUEUE_SECONDS = Histogram("lora_finetune_queue_seconds", "All waits of a run for a running train pod.", buckets=_LONG)
GPU_SECONDS = Counter("lora_finetune_gpu_seconds_total", "GPU seconds of runs that reached their end.", ["result"])
GPU_IDLE_SECONDS = Counter("lora_finetune_gpu_idle_seconds_total", "Of these, outside the training steps.")
USAGE_SECONDS = Counter(
    "lora_finetune_usage_seconds_total",
    "status.usage of runs that reached their end: staging, queue, suspended, train, gpu, gpu_idle.",
    ["namespace", "account"],
)
COST = Counter(
    "lora_finetune_cost_total",
    "status.usage.cost of runs that reached their end, where the platform names a price.",
    ["namespace", "currency"],
)
LOST_STEPS = Counter("lora_finetune_lost_steps_total", "Steps that had to be done again.")
