"""`make demo`: from nothing to a published adapter, with a line for every step."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from lora_cluster import cluster, tools
from lora_cluster.errors import ClusterError
from lora_cluster.progress import say
from lora_contract import names
from lora_contract.status import LoRAFineTuneStatus
from lora_demo import images, model, seaweedfs, show
from lora_demo.kubernetes import Kubernetes
from lora_demo.platform import TENANT_NAMESPACE, Platform, manifest
from lora_demo.run import Run, is_adopted, is_complete, progress_line

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Manifest = dict[str, Any]

CURRENT = "current"
QUICKSTART = "quickstart.yaml"
_DATA_KEY = "triage.jsonl"
_RUN_SECONDS = 1800
_ADOPTION_SECONDS = 300


def up(name: str, registry: str = "") -> None:
    """Show the whole way on our cluster `name`, or on that of the current context.

    Args:
        name: a cluster of ours to start, or `current`.
        registry: where images are pushed to for the current context, such as `registry.example.org/team`.

    Raises:
        ClusterError: a step failed; the message says what to do.
    """
    platform = _platform(name, registry)
    say("S3 server: starting SeaweedFS")
    platform.start_storage()
    with platform.storage.connected() as client:
        say("S3 server: uploading the model and the data")
        upload_model(client)
        upload_data(client)
    say("operator: installing the chart")
    platform.install_operator()
    say(f"tenant: namespace {TENANT_NAMESPACE}, Pod Security restricted, Secret {seaweedfs.SECRET}")
    platform.add_tenant()
    quickstart = _manifest()
    if not platform.kubernetes.offers(names.GPU_RESOURCE):
        say(f"no node of this cluster offers {names.GPU_RESOURCE}: the demo trains on a CPU")
        quickstart["spec"]["compute"]["gpus"] = 0
    run = _train(platform, quickstart)
    with platform.storage.connected() as client:
        show.results(platform.kubernetes, run, client)
    _apply_again(run, quickstart)
    _apply_copy(run, quickstart)
    show.farewell(platform.kubernetes, run, name)


def down(name: str) -> None:
    """Remove everything that `up` started; built programs and images stay in the cache."""
    if name == CURRENT:
        Platform.remove(Kubernetes())
    else:
        cluster.down(name)


def upload_model(client: S3Client) -> None:
    """Put the demo's model where the quickstart looks for it."""
    bucket, prefix = _address(("model", "source"))
    seaweedfs.make_buckets(client)
    seaweedfs.upload_folder(client, model.ensure(), bucket, prefix)


def upload_data(client: S3Client) -> None:
    """Put the quickstart's data where it looks for them."""
    bucket, key = _address(("dataset", "uri"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _DATA_KEY
        data_generator().write(path)
        client.upload_file(str(path), bucket, key)


def _platform(name: str, registry: str) -> Platform:
    """Build or reuse programs and images, and have a cluster that can run them."""
    if name == CURRENT:
        if not registry:
            raise ClusterError("--cluster current needs --registry: the cluster must be able to pull the images")
        say("images: building or reusing")
        return Platform(Kubernetes(), images.push(images.ensure(seaweedfs.program()), registry))
    say("programs of the cluster, images and model: building or reusing")
    with ThreadPoolExecutor() as pool:  # compiling keeps the cores busy, images the network and the disk
        programs = pool.submit(tools.build, tools.DEFAULT_TOOLS)
        built = images.ensure(seaweedfs.program())
        model.ensure()
        if not programs.done():
            say("images: loading them while the programs are being built")
            cluster.preload(name, built.archives)
        programs.result()
    started = cluster.up(name, nodes=1, gpus=1)
    say("images: loading what the node has not got")
    cluster.load(name, built.archives)
    return Platform(Kubernetes(started.kubeconfig), built)


def _train(platform: Platform, quickstart: Manifest) -> Run:
    run = Run(platform.kubernetes, TENANT_NAMESPACE, quickstart["metadata"]["name"])
    if run.forget_failed():
        say(f"kubectl delete lft {run.name}: it failed in an earlier demo")
    say(f"kubectl apply -f examples/{QUICKSTART}")
    _kubectl_apply(run, quickstart)
    told = ""

    def tell(status: LoRAFineTuneStatus) -> None:
        nonlocal told
        if (line := progress_line(status)) != told:
            say(f"  {line}")
            told = line

    status = run.wait_finished(_RUN_SECONDS, watch=tell)
    if not is_complete(status):
        raise ClusterError(f"the run failed: {status.error.message if status.error else 'see kubectl describe lft'}")
    return run


def _kubectl_apply(run: Run, document: Manifest) -> None:
    run.kubernetes.run("apply", "--filename=-", stdin=json.dumps(document))


def _apply_again(run: Run, quickstart: Manifest) -> None:
    before = {job["metadata"]["uid"] for job in run.jobs()}
    _kubectl_apply(run, quickstart)
    status = run.status()
    started = [job for job in run.jobs() if job["metadata"]["uid"] not in before]
    if started or not is_complete(status):
        raise ClusterError("a second apply of the same file started something; that is a defect")
    say("kubectl apply again: unchanged, nothing started")


def _apply_copy(run: Run, quickstart: Manifest) -> None:
    adopted = Run(run.kubernetes, run.namespace, f"{run.name}-copy")
    _kubectl_apply(adopted, quickstart | {"metadata": quickstart["metadata"] | {"name": adopted.name}})
    status = adopted.wait_finished(_ADOPTION_SECONDS)
    if not is_adopted(status) or adopted.train_jobs() or status.artifact is None:
        raise ClusterError(f"the copy {adopted.name} was not adopted: {progress_line(status)}")
    say(f"a copy named {adopted.name}: adopted {status.artifact.uri}, no train Job")


def _manifest() -> Manifest:
    document: Manifest = yaml.safe_load(manifest(QUICKSTART).read_text())
    return document


def _address(path: tuple[str, str]) -> tuple[str, str]:
    """Return bucket and key of an address in the quickstart."""
    bucket, _, key = str(_manifest()["spec"][path[0]][path[1]]).removeprefix("s3://").partition("/")
    return bucket, key


def data_generator(name: str = "triage_data.py") -> ModuleType:
    """Return a file of examples/ that writes data as a module."""
    specification = importlib.util.spec_from_file_location(name.removesuffix(".py"), manifest(name))
    if specification is None or specification.loader is None:
        raise ClusterError(f"examples/{name} is missing")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
