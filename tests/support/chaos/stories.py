"""The stories of crash plans: what users, pods, nodes and Kueue do. The operator's part is not told, it is watched."""

from __future__ import annotations

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_contract.status import MetricsStatus
from support.chaos.mirror import Body
from support.chaos.plans import Story
from support.chaos.scene import Scene, is_true
from support.pods import adopted, failed, prepared, trained
from support.specs import REMOVED
from support.sweeps import sweep as sweep_spec

PREPARE, TRAIN = names.STAGE_PREPARE, names.STAGE_TRAIN


async def plain(scene: Scene) -> None:
    await scene.apply("triage")
    await plays_to_the_end(scene, "triage")


async def plays_to_the_end(scene: Scene, run: str) -> None:
    await scene.plays(run, PREPARE, prepared(run))
    await scene.plays(run, TRAIN, trained())
    await scene.reaches(run, "Complete")


async def user_error_in_prepare(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, failed(PREPARE, "data.jsonl, line 3: is not JSON"), ExitCode.BAD_DATA)
    await scene.reaches("triage", "Failed")


async def user_error_in_training(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, prepared())
    await scene.plays("triage", TRAIN, failed(TRAIN, "the loss is not finite"), ExitCode.LOSS_NOT_FINITE)
    await scene.reaches("triage", "Failed")


async def endpoint_not_allowed(scene: Scene) -> None:
    await scene.apply("triage", storage__endpoint="http://elsewhere.example:8333")
    await scene.until("it is refused", lambda: "Failed" in str((scene.run("triage").get("status") or {}).get("phase")))


async def adopted_at_once(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, adopted())
    await scene.reaches("triage", "Complete")


async def retried(scene: Scene) -> None:
    await scene.apply("triage", retries=2)
    await scene.plays("triage", PREPARE, prepared())
    await scene.plays("triage", TRAIN, failed(TRAIN, "S3 is away"), ExitCode.UNAVAILABLE)
    await scene.has_attempts("triage", 1)
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def suspended_while_it_trains(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, prepared())
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.patch("triage", suspend=True)
    await scene.in_phase("triage", "Suspended")
    await scene.until("its pod is gone", lambda: not scene.site.mirror.all("pods", scene.namespace)[1:])
    await scene.has_attempts("triage", 1)
    await scene.patch("triage", suspend=False)
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def suspended_from_the_start(scene: Scene) -> None:
    await scene.apply("triage", suspend=True)
    await scene.in_phase("triage", "Suspended")
    await scene.patch("triage", suspend=False)
    await plays_to_the_end(scene, "triage")


async def several_nodes(scene: Scene) -> None:
    await scene.apply("triage", compute__nodes=2)
    await scene.plays("triage", PREPARE, prepared())
    pods = [await scene.starts("triage", TRAIN, index=index) for index in (0, 1)]
    await scene.in_phase("triage", "Running")
    await scene.ends(pods[1], Report(stage="train"))
    await scene.ends(pods[0], trained())
    await scene.reaches("triage", "Complete")


async def gpu_failure(scene: Scene) -> None:
    await scene.apply("triage", retries=2)
    await scene.plays("triage", PREPARE, prepared())
    for attempt in (1, 2):
        await scene.plays("triage", TRAIN, failed(TRAIN, "CUDA error: an illegal access"), ExitCode.GPU_FAILED)
        await scene.has_attempts("triage", attempt)
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def jobs_deleted_by_the_user(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.starts("triage", PREPARE)
    await scene.in_phase("triage", "Preparing")
    await scene.delete_job("triage", PREPARE)
    await scene.plays("triage", PREPARE, prepared())
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.delete_job("triage", TRAIN)
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def deleted_while_it_prepares(scene: Scene) -> None:
    await scene.apply("triage")
    pod = await scene.starts("triage", PREPARE)
    await scene.in_phase("triage", "Preparing")
    await scene.ends(pod, prepared())
    await scene.delete(names.PLURAL, "triage")
    await scene.until("all of it is gone", scene.is_empty)


async def deleted_while_it_trains(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, prepared())
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.delete(names.PLURAL, "triage")
    await scene.until("all of it is gone", scene.is_empty)


async def deleted_in_the_foreground(scene: Scene) -> None:
    """The resource stays, with a deletionTimestamp, until its Jobs are gone, and they until their pods are."""
    await scene.apply("triage")
    await scene.plays("triage", PREPARE, prepared())
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.delete(names.PLURAL, "triage", propagation="Foreground")
    await scene.until("all of it is gone", scene.is_empty)


async def time_to_live(scene: Scene) -> None:
    await scene.apply("triage", ttlSecondsAfterFinished=1)
    await plays_to_the_end(scene, "triage")
    await scene.until("its Jobs are gone", lambda: not scene.site.mirror.all("jobs", scene.namespace))


async def started_anew(scene: Scene) -> None:
    await scene.apply("triage")
    await plays_to_the_end(scene, "triage")
    await scene.patch("triage", runToken="again")
    await scene.until("the new run", lambda: (scene.run("triage")["status"] or {}).get("runToken") == "again")
    await plays_to_the_end(scene, "triage")


async def secret_missing(scene: Scene) -> None:
    await scene.apply("triage")
    await scene.waits("triage", PREPARE, "CreateContainerConfigError", 'secret "s3-credentials" not found')
    await scene.reaches("triage", "Failed")
    await scene.until("its pod is gone", lambda: not scene.site.mirror.all("pods", scene.namespace))


async def queued(scene: Scene) -> None:
    await scene.apply("triage", scheduling__queueName="team-a")
    await scene.plays("triage", PREPARE, prepared())
    await scene.in_phase("triage", "Queued")
    await scene.admits("triage")
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def preempted(scene: Scene) -> None:
    await scene.apply("triage", scheduling__queueName="team-a")
    await scene.plays("triage", PREPARE, prepared())
    await scene.admits("triage")
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.preempts("triage")
    await scene.in_phase("triage", "Queued")
    await scene.has_attempts("triage", 1)
    await scene.admits("triage")
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def suspended_in_a_queue(scene: Scene) -> None:
    await scene.apply("triage", scheduling__queueName="team-a")
    await scene.plays("triage", PREPARE, prepared())
    await scene.admits("triage")
    await scene.starts("triage", TRAIN)
    await scene.in_phase("triage", "Running")
    await scene.patch("triage", suspend=True)
    await scene.in_phase("triage", "Suspended")
    await scene.has_attempts("triage", 1)
    await scene.patch("triage", suspend=False)
    await scene.in_phase("triage", "Queued")
    await scene.admits("triage")
    await scene.plays("triage", TRAIN, trained())
    await scene.reaches("triage", "Complete")


async def identical_runs(scene: Scene) -> None:
    await scene.apply("one")
    await scene.plays("one", PREPARE, prepared("same"))
    first = await scene.starts("one", TRAIN)
    await scene.in_phase("one", "Running")
    await scene.apply("two")
    await scene.plays("two", PREPARE, prepared("same"))
    await scene.says("two", "IdenticalRunTraining")
    await scene.ends(first, trained())
    await scene.reaches("one", "Complete")
    await scene.plays("two", PREPARE, adopted())
    await scene.reaches("two", "Complete")


async def sweep(scene: Scene) -> None:
    await scene.create_sweep("rates", two_trials())
    for run in ("rates-00", "rates-01"):
        await scene.plays(run, PREPARE, prepared(run))
        loss = MetricsStatus(best_eval_loss="0.5" if run == "rates-01" else "0.7", test_loss="0.8")
        await scene.plays(run, TRAIN, trained().model_copy(update={"metrics": loss}))
        await scene.reaches(run, "Complete")
    await scene.until("the sweep is complete", lambda: is_true(scene.sweep("rates"), "Complete"))


def two_trials() -> Body:
    return sweep_spec({"grid": REMOVED, "trials": [{}, {"lora": {"r": 8}}], "maxParallel": 1})


STORIES = [
    Story("plain", plain),
    Story("adopted", adopted_at_once),
    Story("retried", retried),
    Story("user-error-in-prepare", user_error_in_prepare),
    Story("user-error-in-training", user_error_in_training),
    Story("endpoint-not-allowed", endpoint_not_allowed),
    Story("secret-missing", secret_missing),
    Story("suspended", suspended_while_it_trains),
    Story("suspended-from-the-start", suspended_from_the_start),
    Story("nodes", several_nodes),
    Story("gpu-failure", gpu_failure),
    Story("jobs-deleted", jobs_deleted_by_the_user),
    Story("deleted-in-prepare", deleted_while_it_prepares),
    Story("deleted-in-training", deleted_while_it_trains),
    Story("deleted-in-the-foreground", deleted_in_the_foreground),
    Story("ttl", time_to_live),
    Story("started-anew", started_anew),
    Story("queued", queued),
    Story("preempted", preempted),
    Story("suspended-in-a-queue", suspended_in_a_queue),
    Story("identical", identical_runs),
    Story("sweep", sweep),
]
