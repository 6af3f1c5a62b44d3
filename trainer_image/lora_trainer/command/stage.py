"""The commands of the image, their reports and exit codes."""

from __future__ import annotations

import logging
import os
import re

from pydantic import ValidationError

from lora_contract import spec_paths
from lora_contract.base import explained
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import ENV_ORDER, STAGE_CHECK, STAGE_PREPARE, STAGE_TRAIN, Stage
from lora_contract.order import Order, TrainOrder
from lora_contract.report import Report
from lora_trainer import progress, stopping, termination
from lora_trainer.command import quick_imports
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.processes import restart
from lora_trainer.processes.rank import LOST_CONTACT, LostContact, place_of, processes
from lora_trainer.processes.restart import SmallerMicroBatch

log = logging.getLogger(__name__)


def run_stage(stage: Stage) -> int:
    """Carry out the order in the environment, report to the termination log, return the exit code."""
    order: Order | None = None
    try:
        order = order_of_environment(stage)
        report = carry_out(order)
    except stopping.StopRequested:
        log.info("stopped on request; nothing is lost")
        return _end(stage, order, TrainerError(ExitCode.CHECKPOINTED, "stopped on request; nothing is lost"))
    except TrainerError as error:
        log.error("%s", words(error))
        log.debug("", exc_info=True)
        return _end(stage, order, error)
    except Exception as error:
        if isinstance(error, SmallerMicroBatch):
            return _smaller(error)
        if not _is_of_gpu(error) and (isinstance(error, LostContact) or (not place_of().alone and _contact_is_lost())):
            log.warning("other processes of the run are gone: %s", _first_line(error))
            return LOST_CONTACT
        return _end(stage, order, unexpected(error))
    termination.write(report)
    return ExitCode.DONE


def unexpected(error: Exception) -> TrainerError:
    """Make an error of an exception that nobody raised on purpose; its trace goes to the log."""
    if _is_of_gpu(error):
        log.error("the GPU failed", exc_info=error)
        return TrainerError(ExitCode.GPU_FAILED, f"the GPU or its driver failed: {_first_line(error)}")
    if type(error).__name__ == "OutOfMemoryError":  # torch's, outside of training steps, which take fewer rows then
        log.error("CUDA ran out of memory", exc_info=error)
        return TrainerError(
            ExitCode.CUDA_OUT_OF_MEMORY,
            "CUDA ran out of memory while the model was loaded or measured",
            hint="Use a GPU with more memory, or set quantization.type: nf4 and a smaller training.maxLength.",
        )
    log.error("this is a defect of the trainer", exc_info=error)
    return TrainerError(ExitCode.INTERNAL, f"internal error: {type(error).__name__}; the log has the details")


def _is_of_gpu(error: Exception) -> bool:
    return type(error).__name__ == "AcceleratorError"  # torch's, which prepare never imports


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _contact_is_lost() -> bool:
    """Tell whether something failed here only because other processes of the run are gone."""
    from lora_trainer.processes.group import contact_is_lost  # noqa: PLC0415 - torch, in train only

    return contact_is_lost()


def order_of_environment(stage: Stage) -> Order:
    """Read the order that the operator put into the environment.

    Raises:
        TrainerError: 64, there is none, or it cannot be understood.
    """
    text = os.environ.get(ENV_ORDER)
    if not text:
        raise bad_config(f"the environment variable {ENV_ORDER} is empty", hint="It is set by the operator.")
    try:
        order = Order.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"])
        raise bad_config(explained(error, ENV_ORDER)[0], param=where) from None
    return order if order.stage == stage else order.model_copy(update={"stage": stage})


def carry_out(order: Order) -> Report:
    """Do one stage.

    Raises:
        TrainerError: it names the field to correct; where S3 denied access to an address, the credentials.
    """
    try:
        return _carry_out(order)
    except TrainerError as error:
        address = _addresses(order.spec).get(error.param or "")
        if error.exit_code is ExitCode.ACCESS_DENIED and address is not None and address.startswith("s3://"):
            account = order.spec.storage.service_account_name
            error.param = spec_paths.STORAGE_SERVICE_ACCOUNT_NAME if account else spec_paths.STORAGE_SECRET_NAME
        raise


def _addresses(spec: LoRAFineTuneSpec) -> dict[str, str]:
    """Return the addresses that a spec names, by the field."""
    named = {
        spec_paths.OUTPUT_URI: spec.output.uri,
        spec_paths.MODEL_SOURCE: spec.model.source,
        **spec.dataset.addresses,
        spec_paths.CHAT_TEMPLATE_URI: spec.chat.template_uri,
    }
    return {field: address for field, address in named.items() if address is not None}


def _carry_out(order: Order) -> Report:
    from lora_trainer import store  # noqa: PLC0415 - boto3, after the handler and the environment

    addresses = list(_addresses(order.spec).values())
    history = store.AccessHistory(addresses, proven_by_prepare=order.stage == STAGE_TRAIN)
    objects = store.from_environment(order.unavailable_budget_seconds, history)
    if order.stage == STAGE_CHECK:
        from lora_trainer.prepare.check import check  # noqa: PLC0415 - never imports torch

        return check(order, objects)
    if order.stage == STAGE_PREPARE:
        from lora_trainer.prepare.stage import prepare  # noqa: PLC0415 - never imports torch

        with progress.started():
            return prepare(order, objects)
    try:
        training = TrainOrder.of(order)
    except ValueError as error:
        raise bad_config(str(error), hint="Run the prepare stage first.") from None
    if place_of().alone and processes(order.spec.compute) > 1:
        from lora_trainer.command import launch  # noqa: PLC0415 - one of many runs needs it

        return launch.train(training, objects)
    with quick_imports.importing():
        from lora_trainer.train.stage import train  # noqa: PLC0415 - imports torch

    return train(training, objects)


def _smaller(order: SmallerMicroBatch) -> int:
    """Replace this process, or ask the launcher to replace the group."""
    folder = place_of().folder
    if folder is None:
        restart.start_again(order)
    restart.leave_request(order, folder)
    return ExitCode.CUDA_OUT_OF_MEMORY


def words(error: TrainerError) -> str:
    """Write an error in one line."""
    parts = (wrong(error), error.hint or "")
    return ". ".join(part.rstrip(".") for part in parts if part)


def wrong(error: TrainerError) -> str:
    """Say what is wrong and where; the place once, where the message says it too (`a.jsonl:3` is its line 3)."""
    place = re.sub(r":[0-9]+$", "", error.param or "")
    short = place.removeprefix("spec.")  # as messages have it; `model` alone would be found in any of them
    said = place in error.message or ("." in short and short in error.message)
    return error.message if said else f"{error.param}: {error.message}"


def _end(stage: Stage, order: Order | None, error: TrainerError) -> int:
    termination.write(termination.failure(stage, order, error))
    return error.exit_code
