"""The CustomResourceDefinition, generated from the models of the contract.

`python -m lora_contract.crd` writes it; `--check` fails where a written copy differs.
"""

from lora_contract.crd.definition import custom_resource_definition

__all__ = ["custom_resource_definition"]
