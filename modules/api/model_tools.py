"""Endpoints for model files: merge and inspect. The reference has none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from modules.api.fields import REQUIRED, FieldRow, build_model
from modules.api.replies import Reply
from modules.api.services import ApiServices

MERGE: tuple[FieldRow, ...] = (
    FieldRow("models", "array of string", REQUIRED, "Titles or names of A, B and C."),
    FieldRow("method", "string", "Weighted sum", "No interpolation, Weighted sum or Add difference."),
    FieldRow("multiplier", "number", 0.3, "M in A·(1-M) + B·M and A + (B-C)·M."),
    FieldRow("blocks", "object", {}, "Regular expression on names of tensors → another M for them."),
    FieldRow("name", "string", None, "Name of the result without ending; null makes one."),
    FieldRow("format", "string", "safetensors", "safetensors or ckpt."),
    FieldRow("half", "boolean", False, "Save 16-bit floats."),
    FieldRow("vae", "string", None, "Name of a VAE to put in."),
    FieldRow("discard", "string", "", "Regular expression; such tensors are left out."),
    FieldRow("config_source", "string", "A, B or C", "Whose yaml is copied: A, B or C; B; C; Don't."),
    FieldRow("keep_metadata", "boolean", True, "Copy the metadata of the models."),
    FieldRow("add_recipe", "boolean", True, "Write how it was made into the metadata."),
)
MERGE_REPLY: tuple[FieldRow, ...] = (
    FieldRow("path", "string"),
    FieldRow("title", "string"),
    FieldRow("tensors", "integer"),
    FieldRow("bytes", "integer"),
    FieldRow("config", "string", None),
    FieldRow("nonfinite", "array of string", REQUIRED, "Tensors with NaN or infinity."),
)
INSPECT: tuple[FieldRow, ...] = (
    FieldRow("model", "string", REQUIRED, "Title of a checkpoint, or path below a model folder."),
    FieldRow("weights", "boolean", False, "Read all tensors, look for NaN and infinity."),
    FieldRow("hash", "boolean", False, "Compute the SHA-256 when it is not known."),
)

if TYPE_CHECKING:
    from pydantic import BaseModel as InspectBody
    from pydantic import BaseModel as MergeBody
else:
    MergeBody = build_model("MergeRequest", MERGE)
    InspectBody = build_model("InspectRequest", INSPECT)


class ModelFiles:
    """Merging waits for its turn among the jobs; inspecting does not."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._threads = anyio.CapacityLimiter(2)

    async def merge(self, body: MergeBody) -> Reply:
        """Merge checkpoints into a new one in the folder of checkpoints; answers when it is written."""
        services = self._services
        defaults = {row.name: row.default for row in MERGE}
        given = {name: value for name, value in body.model_dump().items() if value is not None}
        values = {**defaults, **given}
        await anyio.to_thread.run_sync(services.check_merge, values, limiter=self._threads)
        return Reply(
            await asyncio.wrap_future(services.queue.call(lambda: services.merge_models(values), "merge"))
        )

    async def inspect(self, body: InspectBody) -> Reply:
        """What a model file is, without loading it."""
        values = body.model_dump()

        def work() -> object:
            return self._services.inspect_model(
                values["model"], bool(values["weights"]), bool(values["hash"])
            )

        return Reply(await anyio.to_thread.run_sync(work, limiter=self._threads))
