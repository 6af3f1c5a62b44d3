"""One run in several processes: one for each GPU of a pod, and the same in each pod of a Job."""

from __future__ import annotations

#: Folder that the processes of one pod share; set for the processes that `launch` starts, and for no other.
ENV_FOLDER = "LORA_GROUP_FOLDER"
