"""The operator: watches LoRAFineTune resources, decides, acts, and writes what happened to their status."""
