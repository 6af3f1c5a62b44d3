"""`python -m benchmarks.operator`: one JSON line for each figure of the operator.

The control plane and the operator share the machine with this script, so times say something only beside
others of the same machine. Pods never run: what a kubelet would report is written into their status.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from kubernetes import client

from benchmarks.operator.moments import Moments
from benchmarks.operator.server import Server
from lora_contract import names
from support import api_server, operator
from support.operator import Operator
from support.pods import ended, prepared, trained

_CLIENTS = 8
_SETTLE_SECONDS = 0.3


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="LoRAFineTunes created at once")
    parser.add_argument("--idle", type=int, default=40, help="LoRAFineTunes created one after the other")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the control plane too
    with tempfile.TemporaryDirectory() as folder, api_server.running(Path(folder) / "plane") as plane:
        api = api_server.connect(plane)
        operator.install(api)
        kubeconfig = operator.write_kubeconfig(api, plane, Path(folder) / "kubeconfig")
        process = Operator(kubeconfig, Path(folder) / "operator.log").start()
        try:
            process.wait_ready()
            tell("operator_memory_idle", memory(process), "MiB")
            measure_idle(api, arguments.idle)
            measure_burst(api, process, arguments.runs)
        finally:
            process.stop()
    return 0


def tell(figure: str, value: float, unit: str, **more: Any) -> None:
    """Print one figure."""
    print(json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, **more}), flush=True)


def memory(process: Operator) -> float:
    """Resident memory in MiB."""
    resident: int = psutil.Process(process.pid).memory_info().rss
    return resident / 2**20


def measure_idle(api: client.ApiClient, count: int) -> None:
    """From a created resource to its prepare Job, and from a Job's end to the resource's, one at a time."""
    server = Server(api, api_server.make_namespace(api))
    started: list[float] = []
    with Moments(api, server.namespace) as moments:
        for number in range(count):
            name = f"idle-{number}"
            before = time.monotonic()
            server.apply(name)
            started.append(moments.job_created(name, names.STAGE_PREPARE) - before)
            moments.pod(name, names.STAGE_PREPARE)
            time.sleep(_SETTLE_SECONDS)  # until the status is written and nothing more happens: idle is meant
        tell("apply_to_prepare_job_idle", 1000 * statistics.median(started), "ms p50", worst=round(1000 * max(started)))


def measure_burst(api: client.ApiClient, process: Operator, count: int) -> None:
    """Many resources at once, then many prepare and train pods that end at once."""
    server = Server(api, api_server.make_namespace(api))
    run_names = [f"burst-{number}" for number in range(count)]
    before_cpu = cpu(process)
    with Moments(api, server.namespace) as moments, ThreadPoolExecutor(_CLIENTS) as pool:
        before = time.monotonic()
        list(pool.map(server.apply, run_names))
        applied = time.monotonic() - before
        jobs = [moments.job_created(name, names.STAGE_PREPARE) for name in run_names]
        tell("burst_to_prepare_jobs", max(jobs) - before, "s", runs=count, last_applied=round(applied, 3))
        finish_pods(pool, server, moments, names.STAGE_PREPARE, run_names)
        for name in run_names:
            moments.job_created(name, names.STAGE_TRAIN)
        tell("operator_memory_burst", memory(process), "MiB", runs=count)
        finish_pods(pool, server, moments, names.STAGE_TRAIN, run_names)
        delays = [moments.complete(name) - moments.train_job_complete(name) for name in run_names]
        slowest = sorted(delays)[int(len(delays) * 0.99)]
        tell("train_job_complete_to_run_complete", statistics.median(delays), "s p50", p99=round(slowest, 3))
    tell("operator_memory_after", memory(process), "MiB", runs=count)
    tell("operator_cpu", (cpu(process) - before_cpu) / count * 1000, "ms a run")
    written = process.metric("lora_operator_status_writes_total") + process.metric("lora_finetune_jobs_created_total")
    tell("writes_in_all", written, "writes", runs_seen=len(run_names))


def cpu(process: Operator) -> float:
    """Seconds of CPU used so far."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def finish_pods(pool: ThreadPoolExecutor, server: Server, moments: Moments, stage: str, run_names: list[str]) -> None:
    """Wait for a pod of each run, then let all of them end at once."""

    def finish(name: str) -> None:
        report = prepared(name) if stage == names.STAGE_PREPARE else trained()
        server.patch_pod(found[name], ended(report, exit_code=0))

    found = {name: moments.pod(name, stage) for name in run_names}
    list(pool.map(finish, run_names))


if __name__ == "__main__":
    sys.exit(main())
