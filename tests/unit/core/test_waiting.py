"""What keeps a run from starting: missing things, full clusters, refusals. Each is named, and waited for or not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lora_contract.exit_codes import ExitCode
from lora_operator.core.observe.observed import WarningEvent, Warnings
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.run.decision import CreateJob, DeleteJob, ReadWarnings
from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune, given_training


def preparing() -> Story:
    return given_finetune().decides().after(1)


# ---- what keeps a pod from starting


def test_a_missing_secret_ends_the_run_within_thirty_seconds_and_frees_the_pod() -> None:
    message = 'secret "s3-credentials" not found'
    story = preparing().pod_waits("prepare", "CreateContainerConfigError", message).decides()
    assert story.condition("Reconciling") == ("True", "SecretMissing")
    assert story.decisions[-1].requeue_after == pytest.approx(15)

    story.after(16).decides()
    assert story.condition("Failed") == ("True", "SecretMissing")
    assert "s3-credentials" in story.message

    story.decides()
    assert story.jobs == {}


def test_a_secret_that_comes_a_moment_late_does_no_harm() -> None:
    story = preparing().pod_waits("prepare", "CreateContainerConfigError", 'secret "s3" not found').decides()

    story.after(5).pod_runs("prepare").decides()

    assert story.condition("Reconciling") == ("True", "Preparing")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("CreateContainerError", "rpc error: code = Internal desc = grpc: error while marshaling: string field contains"
         " invalid UTF-8"),
        ("RunContainerError", "OCI runtime create failed: environment variable contains nul byte"),
    ],
)  # fmt: skip
def test_a_value_of_a_secret_that_is_no_text_ends_the_run_at_once_by_the_name_of_the_secret(
    reason: str, said: str
) -> None:
    story = given_finetune({"storage.secretName": "s3-credentials"}).decides().pod_waits("prepare", reason, said)

    story.decides().after(16).decides()

    assert story.condition("Failed") == ("True", "AccessDenied")
    assert story.message.startswith("A value in the Secret s3-credentials is not text")


def test_an_image_that_cannot_be_pulled_is_waited_for_ten_minutes() -> None:
    story = preparing().pod_waits("prepare", "ErrImagePull", "manifest unknown").decides()
    told = story.message
    story.after(20).pod_waits("prepare", "ImagePullBackOff", "Back-off pulling").decides()
    assert story.condition("Reconciling") == ("True", "ImagePullFailed")
    assert story.message == told
    assert story.events.count("ImagePullFailed") == 1

    story.after(600).decides()

    assert story.condition("Failed") == ("True", "ImagePullFailed")


def test_an_unschedulable_pod_waits_with_the_schedulers_words() -> None:
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    story = given_finetune().decides().stage_succeeds("prepare", PREPARED).decides()
    story.pod_is_unschedulable("train", words).decides()
    assert story.condition("Reconciling") == ("True", "Starting")

    story.after(3).decides().after(10_000).decides()

    assert story.condition("Reconciling") == ("True", "Unschedulable")
    assert story.message == words
    assert story.status.phase == "Queued"


def test_a_missing_volume_is_named() -> None:
    words = 'persistentvolumeclaim "model-cache" not found'
    story = preparing().pod_is_unschedulable("prepare", words).after(4).decides()

    assert story.condition("Reconciling") == ("True", "VolumeMissing")
    assert "model-cache" in story.message


def test_a_volume_that_cannot_be_mounted_is_told_and_ends_nothing() -> None:
    # A pod whose container is being created: its image is pulled, or a volume is missing
    story = preparing().pod_waits("prepare", "ContainerCreating", "").decides()
    pod = next(iter(story.pods))
    assert story.decisions[-1].requeue_after is not None
    assert not [action for action in story.decisions[-1].actions if isinstance(action, ReadWarnings)]
    story.after(21).decides()
    assert ReadWarnings(pod, "Pod") in story.decisions[-1].actions
    assert story.condition("Reconciling") == ("True", "Preparing")

    # Its Events name the platform's authorities
    words = 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "corporate-ca" not found'
    story.warnings = Warnings(pod, story.monotonic, (WarningEvent("FailedMount", words, story.now),))
    story.decides()
    assert story.condition("Reconciling") == ("True", "VolumeMissing")
    assert words in story.message
    assert "trainer.caBundle" in story.message
    # However long that takes, the run goes on once they are there
    story.after(4000).decides()
    assert story.condition("Failed")[0] == "False"
    story.pod_runs("prepare").decides()
    assert story.condition("Reconciling") == ("True", "Preparing")


def test_the_events_of_a_pod_are_read_again_now_and_then() -> None:
    story = preparing().pod_waits("prepare", "ContainerCreating", "").decides().after(30).decides()
    pod = next(iter(story.pods))
    story.warnings = Warnings(pod, story.monotonic)
    story.decides()
    assert ReadWarnings(pod, "Pod") not in story.decisions[-1].actions
    assert story.decisions[-1].requeue_after == pytest.approx(7.5)

    story.after(10).decides()
    assert ReadWarnings(pod, "Pod") in story.decisions[-1].actions


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: gpus', "QuotaExceeded"),
        (
            'error looking up service account team-a/trainer: serviceaccount "trainer" not found',
            "ServiceAccountMissing",
        ),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "AdmissionDenied"),
    ],
)
def test_pods_that_are_refused_are_explained_by_the_jobs_events(words: str, reason: str) -> None:
    story = preparing().after(5).decides()
    assert ReadWarnings(story.job("prepare")["metadata"]["name"]) in story.decisions[-1].actions

    name = story.job("prepare")["metadata"]["name"]
    story.warnings = Warnings(name, story.monotonic, (WarningEvent("FailedCreate", words, story.now),))
    story.decides()

    assert story.condition("Reconciling") == ("True", reason)
    assert story.message == words
    assert story.decisions[-1].actions == ()


def test_a_refused_job_is_tried_again_and_told() -> None:
    story = given_finetune()
    (create,) = story.asked().actions
    assert isinstance(create, CreateJob)
    story.create_error = CreateError(create.name, 403, "jobs is forbidden: exceeded quota", story.monotonic)

    story.decides()
    assert story.condition("Reconciling") == ("True", "QuotaExceeded")
    assert story.jobs == {}
    assert story.decisions[-1].requeue_after == pytest.approx(15)

    story.after(16)
    assert story.asked().actions == (create,)


def test_a_name_that_somebody_elses_object_has_is_told_with_what_to_do() -> None:
    story = given_finetune()
    (create,) = story.asked().actions
    assert isinstance(create, CreateJob)
    taken = f"Job team-a/{create.name} exists and was not made for this object"
    story.create_error = CreateError(create.name, 409, taken, story.monotonic)

    story.decides()

    assert story.condition("Reconciling") == ("True", "NameTaken")
    assert taken in story.message
    assert "Delete it" in story.message
    story.after(16)
    assert story.asked().actions == (create,)


# ---- specs that cannot run


def test_an_invalid_spec_is_refused_with_the_field() -> None:
    story = given_finetune({"lora.r": 0}).decides()

    assert story.condition("Accepted") == ("False", "SpecInvalid")
    assert story.condition("Stalled")[0] == "True"
    assert "spec.lora.r" in story.message
    assert story.jobs == {}

    story.user_sets({"lora.r": 8}).decides()
    assert story.status.phase == "Preparing"


def test_an_endpoint_outside_the_platforms_list_is_refused() -> None:
    story = given_finetune({"storage.endpoint": "http://169.254.169.254"}, allowed_s3_endpoints=("https://s3.ok",))

    story.decides()

    assert story.condition("Accepted") == ("False", "EndpointNotAllowed")
    assert "https://s3.ok" in story.message
    assert story.jobs == {}


def test_an_endpoint_of_the_platforms_list_is_used() -> None:
    story = given_finetune({"storage.endpoint": "https://s3.ok"}, allowed_s3_endpoints=("https://s3.ok",)).decides()

    assert story.stages == ["prepare"]


def test_what_still_runs_of_a_failed_run_is_deleted() -> None:
    story = preparing().pod_waits("prepare", "CreateContainerConfigError", 'secret "s3" not found')
    name = story.job("prepare")["metadata"]["name"]
    story.after(20).decides()

    assert story.decisions[-1].follow_up == (DeleteJob(name),)


def test_an_old_warning_is_not_quoted_for_a_new_lack_of_a_pod() -> None:
    story = given_training()
    name = story.job("train")["metadata"]["name"]
    old = WarningEvent("FailedCreate", "exceeded quota: gpus", story.now - timedelta(seconds=1))
    story.after(100).pod_is_gone("train").decides()
    story.after(5)
    story.warnings = Warnings(name, story.monotonic, (old,))

    story.decides()
    assert story.condition("Reconciling") == ("True", "Starting")

    story.warnings = Warnings(name, story.monotonic, (old._replace(time=story.now),))
    story.decides()
    assert story.condition("Reconciling") == ("True", "QuotaExceeded")


def test_warnings_are_read_again_soon_and_then_ever_less_often() -> None:
    story = preparing().after(5).decides()
    waits = []
    for _ in range(8):
        again = story.decisions[-1].requeue_after
        assert again is not None
        waits.append(again)
        story.after(again).decides()

    assert waits[0] == pytest.approx(5)
    assert waits == sorted(waits)
    assert story.after(3000).asked().requeue_after == pytest.approx(60)


@pytest.mark.parametrize("name", ["a-pod-whose-name-sorts-first", "z-pod-whose-name-sorts-last"])
def test_a_pod_that_follows_another_within_a_second_is_the_present_one(name: str) -> None:
    # The API server gives times in whole seconds: both pods were created at the same
    story = given_training()
    story.pod_ends("train", ExitCode.CHECKPOINTED).pod_is_gone("train").decides()
    story.pod_runs("train", name)
    for pod in story.pods.values():
        pod["metadata"]["creationTimestamp"] = story.time
    story.decides()

    assert story.status.phase == "Running"
