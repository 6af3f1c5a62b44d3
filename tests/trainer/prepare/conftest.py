"""A real S3 server for the prepare stage."""

from __future__ import annotations

from support.seaweedfs import s3_environment, s3_server

__all__ = ["s3_environment", "s3_server"]
