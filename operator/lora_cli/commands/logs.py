"""The command logs: what the pods of a run say, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lora_cli.commands.options import Context, Name, Namespace, connect
from lora_cli.commands.screen import show
from lora_cli.run import Run
from lora_contract import names
from lora_contract.status import AttemptStatus
from lora_contract.times import parse_time

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Pod, Runs

#: Seconds between two looks for the next pod.
_LOOK = 1.0


class Stage(StrEnum):
    """Whose pods."""

    PREPARE = names.STAGE_PREPARE
    TRAIN = names.STAGE_TRAIN
    CHECK = names.STAGE_CHECK


def logs(
    *,
    name: Name,
    namespace: Namespace = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on to its end, over all its pods.")] = False,
    stage: Annotated[Stage | None, typer.Option(help="Only pods of this stage.")] = None,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines of each pod.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time.")] = False,
    context: Context = None,
) -> None:
    """Print the logs of all pods of a run.

    First of prepare, then of each pod that trained, in the order in which they started. A pod that is gone has taken
    its log along; a line says so. Of pods that train together the first one speaks.
    """
    runs = connect(namespace, context)
    teller = _Teller(runs, runs.get(name), stage, tail, times=timestamps)
    teller.tell(follow=follow)
    if not teller.told_any:
        show([f"{name} has no pod with a log{'' if follow else ' yet'}."], error=True)


class _Teller:
    """Tells each pod's log once."""

    def __init__(self, runs: Runs, run: Run, stage: Stage | None, tail: int | None, *, times: bool) -> None:
        self._runs, self._run, self._stage, self._tail, self._times = runs, run, stage, tail, times
        self._told: set[str] = set()

    @property
    def told_any(self) -> bool:
        """Whether something was told."""
        return bool(self._told)

    def tell(self, *, follow: bool) -> None:
        """Tell what there is; `follow`: until the run is over and its last pod has ended."""
        from lora_cli.cluster.api import UnreachableError  # noqa: PLC0415 - as in `connect`

        while True:
            try:
                over = self._tell_what_is_there(follow=follow)
            except UnreachableError:
                if not follow:
                    raise
                over = False
            if not follow or over:
                return
            time.sleep(_LOOK)

    def _tell_what_is_there(self, *, follow: bool) -> bool:
        """Tell what was not told yet, and whether nothing more comes."""
        self._run = self._runs.get(self._run.name)
        over = self._run.status.finished or self._run.status.refused
        pods = [pod for pod in self._runs.pods(self._run) if self._stage in (None, pod.stage)]
        for gone, pod in self._in_order(pods):
            if gone is not None:
                self._tell_of_gone(gone)
            elif pod is not None:
                self._tell_pod(pod, follow=follow and not pod.ended)
        return over

    def _in_order(self, pods: list[Pod]) -> list[tuple[AttemptStatus | None, Pod | None]]:
        """List what was not shown yet, oldest first: attempts whose pods are gone, and pods that have started."""
        there = {pod.name for pod in pods}
        entries: list[tuple[datetime | None, AttemptStatus | None, Pod | None]] = [
            (pod.created, None, pod) for pod in pods if pod.started and pod.name not in self._told
        ]
        for each in self._run.status.attempts:
            ended = each.pod and each.end_time and self._stage in (None, each.stage)
            if ended and each.pod not in there | self._told:
                entries.append((parse_time(each.start_time), each, None))
        entries.sort(key=lambda entry: entry[0].timestamp() if entry[0] else 0)
        return [(gone, pod) for _, gone, pod in entries]

    def _tell_of_gone(self, attempt: AttemptStatus) -> None:
        self._told.add(attempt.pod or "")
        why = f" ({attempt.reason})" if attempt.reason else ""
        show([f"--- {attempt.stage} {attempt.pod} is gone{why}, its log with it"], error=True)

    def _tell_pod(self, pod: Pod, *, follow: bool) -> None:
        from lora_cli.cluster.api import ApiError  # noqa: PLC0415 - as in `connect`

        self._told.add(pod.name)
        where = f" on {pod.node}" if pod.node else ""
        show([f"--- {pod.stage} {pod.name}{where}"], error=True)
        try:
            show(self._followed(pod) if follow else self._log(pod.name, times=self._times))
        except ApiError as error:
            if error.status in (401, 403):
                raise
            show([f"--- its log cannot be read: {error}"], error=True)

    def _log(self, pod: str, *, times: bool) -> Iterator[str]:
        return self._runs.log(self._run, pod, tail=self._tail, times=times)

    def _followed(self, pod: Pod) -> Iterator[str]:
        """Read the log of a pod until it has ended, however often the connection breaks."""
        from lora_cli.cluster.followed import follow_log, split_stamp  # noqa: PLC0415 - as in `connect`

        def read(since: str) -> Iterator[str]:
            tail = None if since else self._tail
            return self._runs.log(self._run, pod.name, follow=True, tail=tail, times=True, since=since)

        def has_ended() -> bool:
            return all(each.ended for each in self._runs.pods(self._run) if each.name == pod.name)

        for line in follow_log(read, has_ended, lambda: time.sleep(_LOOK)):
            yield line if self._times else split_stamp(line)[1]


def add_to(app: typer.Typer) -> None:
    """Give the command its name."""
    app.command("logs")(logs)
