"""Runs the operator as a pod does: under a user id that has no name."""

from __future__ import annotations

import pwd
import runpy


def _unknown(uid: int) -> pwd.struct_passwd:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


if __name__ == "__main__":
    pwd.getpwuid = _unknown
    runpy.run_module("lora_operator", run_name="__main__", alter_sys=True)
