"""The pure core for sweeps; start reading at `lora_operator.core.sweep.decide`."""
