"""What an attacker meets: a real API server with an operator, and a real S3 server.

The fixtures are those of `tests/api` and `tests/trainer`; each starts with the first test that asks for it.
"""

from __future__ import annotations

from api.conftest import api, control_plane, finetunes, kubectl, sweeps
from api.operator.conftest import (
    endpoint,
    namespace,
    operator_kubeconfig,
    running_operator,
    runs,
    served_namespaces,
    start_operator,
)
from support.seaweedfs import s3_environment, s3_server

__all__ = [
    "api",
    "control_plane",
    "endpoint",
    "finetunes",
    "kubectl",
    "namespace",
    "operator_kubeconfig",
    "running_operator",
    "runs",
    "s3_environment",
    "s3_server",
    "served_namespaces",
    "start_operator",
    "sweeps",
]
