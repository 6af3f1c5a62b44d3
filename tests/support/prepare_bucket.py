"""A bucket of a real S3 server with a model and a dataset, and orders to prepare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lora_contract.order import Order
from support.chat_models import save_model
from support.prepare_orders import order
from support.prepared_data import chat, lines
from support.seaweedfs import SeaweedFS


class Bucket:
    """A bucket with a model and a dataset, and orders for them."""

    def __init__(self, server: SeaweedFS, folder: Path) -> None:
        self.name = server.bucket()
        self.folder = folder
        self.client = server.client()
        for path in save_model(folder / "model").iterdir():
            self.client.upload_file(str(path), self.name, f"model/{path.name}")
        self.put("rows.jsonl", lines(chat(f"Question {n}?", f"Answer {n}.") for n in range(60)))

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self, prefix: str) -> list[str]:
        answer = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for entry in answer.get("Contents", [])]

    def order(self, changes: dict[str, Any] | None = None) -> Order:
        base = {
            "model.source": f"s3://{self.name}/model/",
            "dataset.uri": f"s3://{self.name}/rows.jsonl",
            "output.uri": f"s3://{self.name}/output/",
            "storage.secretName": "s3-credentials",
        }
        return order(self.folder, base | (changes or {}))
