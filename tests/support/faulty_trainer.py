"""`lora-trainer` with a fault at a step, told by the variable FAULT (JSON). Faults are real: signals, exceptions, NaN.

killAt: 5        SIGKILL to itself when step 5 is done, before anything else happens
termAt: 5        SIGTERM to itself when step 5 is done
pauseAt: 5       wait at step 5 until the file `pauseUntil` exists
memoryFor: 2     CUDA out of memory while more than 2 rows are in a forward pass, from step `memoryAt` on
lossAt: 5        the loss of step 5 is not a number
crashAt: 5       an exception that nothing expects
loadMemory: true CUDA out of memory while the model is loaded
gpuBytes: n      CUDA gives this process at most n bytes
float16: true    CUDA says that it has no bfloat16
frozen: true     no gradient reaches the adapter
hangAt: 5        step 5 never ends; the watchdog's patience is `patience` seconds
publishAfter: p  the leader publishes only when the file `p` exists
losses: p        no fault: the losses on the test rows, to the last bit, are written below the folder `p`
rank: 1          in a run of several processes, the one that breaks; the first without it
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def _signals(fault: dict[str, Any]) -> Any:
    """A callback that does at step ends what `fault` says."""
    from transformers import TrainerCallback  # noqa: PLC0415 - slow; a launcher of several processes needs it not

    class Signals(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            step = state.global_step
            print(f"step {step} done", flush=True)
            if step == fault.get("killAt"):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == fault.get("termAt"):
                os.kill(os.getpid(), signal.SIGTERM)
            if step == fault.get("pauseAt"):
                while not Path(fault["pauseUntil"]).exists():
                    time.sleep(0.02)
            if step == fault.get("crashAt"):
                raise ZeroDivisionError("a defect with the secret admin-secret-key-of-the-tests-0001 in its words")
            if step == fault.get("hangAt"):
                threading.Event().wait()

    return Signals()


def _install(fault: dict[str, Any]) -> None:
    import torch  # noqa: PLC0415

    from lora_trainer.callbacks import watchdog  # noqa: PLC0415
    from lora_trainer.train import reload, session  # noqa: PLC0415

    _limit_device(fault)
    if "patience" in fault:
        watchdog.MINIMUM_SECONDS, watchdog._FACTOR = fault["patience"], 1.0

    class FaultyTrainer(session.LoraTrainer):
        def __init__(self, *, callbacks: list[Any], **options: Any) -> None:
            super().__init__(callbacks=[_signals(fault), *callbacks], **options)

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            step = self.state.global_step + 1
            too_many = self.args.per_device_train_batch_size > fault.get("memoryFor", 1 << 30)
            if too_many and step >= fault.get("memoryAt", 1):
                raise torch.OutOfMemoryError("CUDA out of memory (injected)")
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            if step == fault.get("lossAt"):
                loss = loss * float("nan")
            return loss * 0 if fault.get("frozen") else loss

    session.LoraTrainer = FaultyTrainer  # type: ignore[misc]
    if gate := fault.get("publishAfter"):
        verify = reload.verify

        def waits(*arguments: Any, **options: Any) -> None:
            verify(*arguments, **options)
            print("ready to publish", flush=True)
            while not Path(gate).exists():
                time.sleep(0.02)

        reload.verify = waits
    if "losses" in fault:
        _tell_losses(Path(fault["losses"]))


def _tell_losses(folder: Path) -> None:
    """Write the losses on the test rows: before the first step, and what the final comparison finds."""
    from lora_trainer.train import finish, session  # noqa: PLC0415

    build, compare = session.build, finish.compare

    def building(order: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        made = build(order, inputs, *arguments, **options)
        rows = [inputs.test[index] for index in range(len(inputs.test))]
        measured = inputs.objective.measure(made.forward_pass, made.adapted.model, rows, alive=lambda: None)
        (folder / "before").write_text(measured.loss.hex())
        return made

    def comparing(*arguments: Any) -> Any:
        result = compare(*arguments)
        (folder / "after").write_text(result.test.loss.hex())
        return result

    session.build, finish.compare = building, comparing


def _limit_device(fault: dict[str, Any]) -> None:
    import torch  # noqa: PLC0415

    from lora_trainer.train import session  # noqa: PLC0415

    def too_large(*_arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory (injected)")

    if fault.get("loadMemory"):
        session.load_base = too_large
    if "gpuBytes" in fault:
        torch.cuda.set_per_process_memory_fraction(fault["gpuBytes"] / torch.cuda.mem_get_info()[1])
    if fault.get("float16"):
        torch.cuda.is_bf16_supported = lambda *_arguments, **_options: False


def main() -> None:
    """`lora_trainer.__main__.main`, with the fault installed when torch would be imported anyway."""
    from lora_contract.names import STAGE_TRAIN  # noqa: PLC0415
    from lora_trainer import __main__, environment  # noqa: PLC0415
    from lora_trainer.command import launch, stage  # noqa: PLC0415
    from lora_trainer.processes.rank import place_of, processes  # noqa: PLC0415

    launch.COMMAND = [sys.executable, "-m", "support.faulty_trainer", "train"]
    environment.prepare_environment()
    carry_out = stage.carry_out

    def faulty(order: Any) -> Any:
        fault = json.loads(os.environ.get("FAULT") or "{}")
        place = place_of()
        launches = place.alone and processes(order.spec.compute) > 1
        if order.stage == STAGE_TRAIN and not launches:
            _install(fault if place.rank == fault.pop("rank", 0) else {})
        return carry_out(order)

    stage.carry_out = faulty
    __main__.main()


if __name__ == "__main__":
    main()
