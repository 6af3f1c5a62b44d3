"""Which adapters a published one descends from, as manifests tell it."""

from __future__ import annotations

from pydantic import Field

from lora_contract.base import StatusModel
from lora_contract.status import SHA256

#: Ancestors that a manifest names, the parent first. Of a longer chain the rest is in the manifest of the last one.
MOST_ANCESTORS = 16


class Ancestor(StatusModel):
    """One adapter above another. Its digest holds its manifest, and with it all that this says of those above."""

    uri: str = Field(description="S3 prefix of the adapter's files.", max_length=1024)
    manifest_digest: str = Field(description="sha256 of its manifest.json.", pattern=SHA256)
    run_id: str = Field(description="Identity of its run.", max_length=64)
    dataset_digest: str = Field(description="sha256 over the content of its dataset.", max_length=64)
    created_at: str = Field(description="When it was published, RFC 3339.", max_length=40)

    @property
    def name(self) -> str:
        """Name of the run that published it, which its address holds."""
        return self.uri.rstrip("/").rpartition("/")[0].rpartition("/")[2]
