"""The vocabulary shared by operator, trainer and command line: pydantic only, no I/O.

Whatever two of them must agree on stands here once: the resource (`spec`, `status`), the identity of a run
(`identity`), where things lie in S3 (`layout`), what the operator orders from a pod (`order`), what the pod
answers (`report`, `progress`, `exit_codes`) and every name (`names`, `reasons`).
"""
