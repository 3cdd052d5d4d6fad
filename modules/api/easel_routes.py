"""The endpoints that only Easel has: jobs, their events, the queue, the history."""

from __future__ import annotations

from modules.api import job_fields as rows
from modules.api.events import EventStreams
from modules.api.fields import PICTURES_REPLY
from modules.api.generation import Generation
from modules.api.history import Pictures
from modules.api.jobs import Jobs
from modules.api.model_tools import MERGE_REPLY, ModelFiles
from modules.api.route_tables import Route
from modules.api.services import ApiServices


def easel_routes(services: ApiServices, paint: Generation) -> tuple[Route, ...]:
    """Everything below ``/easel/v1``."""
    jobs = Jobs(services)
    streams = EventStreams(services, jobs, paint.newer_preview)
    return (
        *_job_routes(jobs, streams),
        *_queue_routes(jobs),
        *_history_routes(Pictures(services, jobs)),
        *_model_routes(ModelFiles(services)),
    )


def _job_routes(jobs: Jobs, streams: EventStreams) -> tuple[Route, ...]:
    # Ids may hold anything, slashes too, so the longer paths stand first.
    one = "jobs/{job_id:path}"
    return (
        Route("POST", "jobs", jobs.order, "Job", rows.JOB_REPLY, status=202),
        Route("GET", "jobs", jobs.list, "Job", rows.JOB_REPLY, True),
        Route("GET", "events", streams.of_all),
        Route("GET", f"{one}/events", streams.of_job),
        Route("GET", f"{one}/result", jobs.result, "JobResult", PICTURES_REPLY),
        Route("GET", one + "/pictures/{number}", jobs.picture),
        Route("POST", f"{one}/interrupt", jobs.interrupt, "StoppedJob", rows.STOP_REPLY),
        Route("POST", f"{one}/skip", jobs.skip, "StoppedJob", rows.STOP_REPLY),
        Route("POST", f"{one}/stop", jobs.stop, "StoppedJob", rows.STOP_REPLY),
        Route("GET", one, jobs.status, "Job", rows.JOB_REPLY),
        Route("PATCH", one, jobs.change, "Job", rows.JOB_REPLY),
        Route("DELETE", one, jobs.cancel, "Job", rows.JOB_REPLY),
    )


def _queue_routes(jobs: Jobs) -> tuple[Route, ...]:
    return (
        Route("GET", "queue", jobs.queue_state, "Queue", rows.QUEUE_REPLY),
        Route("POST", "queue/pause", jobs.pause, "Queue", rows.QUEUE_REPLY),
        Route("POST", "queue/resume", jobs.resume, "Queue", rows.QUEUE_REPLY),
        Route("POST", "stop-after-image", jobs.stop_after_image),
    )


def _history_routes(pictures: Pictures) -> tuple[Route, ...]:
    one = "history/{number}"
    return (
        Route("GET", "history", pictures.find, "History", rows.HISTORY_REPLY),
        Route("GET", "history-models", pictures.models),
        Route("GET", f"{one}/picture", pictures.picture),
        Route("POST", f"{one}/repaint", pictures.repaint, "Job", rows.JOB_REPLY, status=202),
        Route("GET", one, pictures.get, "HistoryEntry", rows.ENTRY_REPLY),
        Route("PATCH", one, pictures.mark, "HistoryEntry", rows.ENTRY_REPLY),
        Route("DELETE", one, pictures.delete),
    )


def _model_routes(files: ModelFiles) -> tuple[Route, ...]:
    return (
        Route("POST", "merge", files.merge, "MergeResponse", MERGE_REPLY),
        Route("POST", "inspect", files.inspect),
    )
