"""The kubectl plugin `kubectl lora`."""
