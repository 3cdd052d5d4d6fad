"""Fields of the endpoints that only Easel has, below ``/easel/v1``."""

from __future__ import annotations

from modules.api.fields import REQUIRED, FieldRow

JOB_ORDER: tuple[FieldRow, ...] = (
    FieldRow("kind", "string", "txt2img", "What to do: the name of an endpoint below /sdapi/v1."),
    FieldRow("request", "object", {}, "The body that this endpoint takes."),
    FieldRow("priority", "integer", 0, "-1000 to 1000; higher ones are served first."),
    FieldRow("paused", "boolean", False, "true: wait until resumed with PATCH."),
)
JOB_CHANGE: tuple[FieldRow, ...] = (
    FieldRow("priority", "integer", None, "-1000 to 1000; higher ones are served first."),
    FieldRow("position", "integer", None, "Place in the line; 0 is next."),
    FieldRow("paused", "boolean", None, "true: be passed over; false: wait for its turn again."),
)
JOB_REPLY: tuple[FieldRow, ...] = (
    FieldRow("id", "string"),
    FieldRow("kind", "string"),
    FieldRow("state", "string", REQUIRED, "queued, running, done, failed or cancelled."),
    FieldRow("position", "integer", None, "Jobs that are served before a waiting one."),
    FieldRow("priority", "integer"),
    FieldRow("paused", "boolean"),
    FieldRow("created", "number", None, "Seconds since 1970, like all times here."),
    FieldRow("started", "number", None),
    FieldRow("finished", "number", None),
    FieldRow("attempts", "integer", REQUIRED, "More than 1 when the server ended while it ran."),
    FieldRow("progress", "number", REQUIRED, "0 to 1."),
    FieldRow("eta", "number", None, "Seconds that are left."),
    FieldRow("pictures", "integer", REQUIRED, "Pictures that can be fetched, a grid included."),
    FieldRow("error", "string", None, "Why it failed."),
)
STOP_REPLY: tuple[FieldRow, ...] = (
    *JOB_REPLY,
    FieldRow("obeyed", "boolean", REQUIRED, "false: the job had ended, or had not begun."),
)
QUEUE_REPLY: tuple[FieldRow, ...] = (
    FieldRow("paused", "boolean"),
    FieldRow("waiting", "integer"),
    FieldRow("running", "integer"),
)
ENTRY_REPLY: tuple[FieldRow, ...] = (
    FieldRow("id", "integer"),
    FieldRow("job", "string"),
    FieldRow("kind", "string"),
    FieldRow("created", "number"),
    FieldRow("model", "string"),
    FieldRow("model_hash", "string", None),
    FieldRow("seed", "integer", None),
    FieldRow("width", "integer"),
    FieldRow("height", "integer"),
    FieldRow("path", "string", None, "null: the picture was not saved."),
    FieldRow("favourite", "boolean"),
    FieldRow("infotext", "string"),
)
HISTORY_REPLY: tuple[FieldRow, ...] = (
    FieldRow("entries", "array of object", REQUIRED, "Newest first."),
    FieldRow("next", "integer", None, "before_id of the next page; null on the last."),
)
ENTRY_CHANGE: tuple[FieldRow, ...] = (FieldRow("favourite", "boolean"),)
REPAINT: tuple[FieldRow, ...] = (FieldRow("priority", "integer", 0),)
