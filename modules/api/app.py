"""The application: tables of routes, and the layers that every request passes."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBasic
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from modules.api import extras_fields, fields
from modules.api.auth import basic_guard, parse_pairs
from modules.api.clients import Backoff, LoginGuard, RateLimit
from modules.api.control import Control
from modules.api.easel_routes import easel_routes
from modules.api.extras import Extras
from modules.api.generation import Generation
from modules.api.interrogation import Interrogation
from modules.api.later import add_later
from modules.api.listings import Listings
from modules.api.middleware import BodyLimit, Clock, Subpath
from modules.api.networks import NetworkListings
from modules.api.operation import Operation
from modules.api.origins import OriginGuard, OriginRules, split_origins
from modules.api.replies import on_easel_error, on_validation_error
from modules.api.route_tables import Route, add_routes
from modules.api.routing import route_class
from modules.api.services import ApiServices
from modules.api.settings import Settings
from modules.errors import EaselError

GZIP_BYTES = 1000
"""Replies of this size and more are compressed."""


class DocumentedBasic(HTTPBasic):
    """Shows in the documentation that a password is asked for; the route itself checks it."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Leave the check to the guard of the route."""


def core_routes(services: ApiServices, paint: Generation) -> tuple[Route, ...]:
    """Everything below ``/sdapi/v1``."""
    settings, describe = Settings(services), Interrogation(services)
    lists, control, extras = Listings(services), Control(services), Extras(services)
    networks = NetworkListings(services)
    return (
        Route("POST", "txt2img", paint.txt2img, "TextToImageResponse", fields.PICTURES_REPLY),
        Route("POST", "img2img", paint.img2img, "ImageToImageResponse", fields.PICTURES_REPLY),
        Route("GET", "progress", paint.progress, "ProgressResponse", fields.PROGRESS_REPLY),
        Route("POST", "interrupt", paint.interrupt),
        Route("POST", "skip", paint.skip),
        Route("GET", "options", settings.read),
        Route("POST", "options", settings.write),
        Route("GET", "cmd-flags", settings.flags),
        Route("GET", "samplers", lists.samplers, "SamplerItem", fields.SAMPLER_ITEM, True),
        Route("GET", "schedulers", lists.schedulers, "SchedulerItem", fields.SCHEDULER_ITEM, True),
        Route("GET", "upscalers", lists.upscalers, "UpscalerItem", fields.UPSCALER_ITEM, True),
        Route(
            "GET",
            "latent-upscale-modes",
            lists.latent_upscale_modes,
            "LatentUpscalerModeItem",
            fields.LATENT_MODE_ITEM,
            True,
        ),
        Route("GET", "sd-models", lists.checkpoints, "SDModelItem", fields.CHECKPOINT_ITEM, True),
        Route("GET", "sd-vae", lists.vaes, "SDVaeItem", fields.VAE_ITEM, True),
        Route("GET", "prompt-styles", lists.styles, "PromptStyleItem", fields.STYLE_ITEM, True),
        Route("GET", "embeddings", networks.embeddings, "EmbeddingsResponse", fields.EMBEDDINGS_REPLY),
        Route("POST", "refresh-embeddings", networks.refresh_embeddings),
        Route(
            "GET", "hypernetworks", networks.hypernetworks, "HypernetworkItem", fields.HYPERNETWORK_ITEM, True
        ),
        Route("GET", "loras", networks.loras, "LoraItem", fields.LORA_ITEM, True),
        Route("POST", "refresh-loras", networks.refresh_loras),
        Route("POST", "refresh-checkpoints", lists.refresh_checkpoints),
        Route("POST", "refresh-vae", lists.refresh_vaes),
        Route("GET", "memory", lists.memory, "MemoryResponse", fields.MEMORY_REPLY),
        Route("POST", "unload-checkpoint", control.unload_checkpoint),
        Route("POST", "reload-checkpoint", control.reload_checkpoint),
        Route("POST", "png-info", lists.png_info, "PNGInfoResponse", fields.PNG_INFO_REPLY),
        Route(
            "POST",
            "extra-single-image",
            extras.single,
            "ExtrasSingleImageResponse",
            extras_fields.EXTRA_SINGLE_REPLY,
        ),
        Route(
            "POST",
            "extra-batch-images",
            extras.batch,
            "ExtrasBatchImagesResponse",
            extras_fields.EXTRA_BATCH_REPLY,
        ),
        Route(
            "GET",
            "realesrgan-models",
            extras.realesrgan_models,
            "RealesrganItem",
            extras_fields.REALESRGAN_ITEM,
            True,
        ),
        Route(
            "GET",
            "face-restorers",
            extras.face_restorers,
            "FaceRestorerItem",
            extras_fields.FACE_RESTORER_ITEM,
            True,
        ),
        Route("POST", "interrogate", describe.interrogate, "InterrogateResponse", fields.INTERROGATE_REPLY),
        Route(
            "GET", "extensions", Operation(services).extensions, "ExtensionItem", fields.EXTENSION_ITEM, True
        ),
        Route("GET", "scripts", lists.scripts, "ScriptsList", fields.SCRIPTS_REPLY),
        Route("GET", "script-info", lists.script_info, "ScriptInfo", fields.SCRIPT_ITEM, True),
        *(_server_routes(control) if getattr(services.flags, "api_server_stop", False) else ()),
    )


def _server_routes(control: Control) -> tuple[Route, ...]:
    return (
        Route("POST", "server-stop", control.stop),
        Route("POST", "server-restart", control.restart),
        Route("POST", "server-kill", control.kill),
    )


def health_routes(services: ApiServices) -> tuple[Route, ...]:
    """What watches over the server asks. Names and figures only, so no password is needed."""
    operation = Operation(services)
    return (
        Route("GET", "healthz", operation.healthz),
        Route("GET", "readyz", operation.readyz),
        Route("GET", "metrics", operation.metrics),
    )


def page_routes(services: ApiServices, paint: Generation) -> tuple[Route, ...]:
    """What the page asks behind the scenes, below ``/internal``."""
    settings, lists = Settings(services), Listings(services)
    operation = Operation(services)
    return (
        Route("GET", "sysinfo", operation.sysinfo),
        Route("GET", "sysinfo-download", operation.sysinfo_download),
        Route("GET", "ping", paint.ping),
        Route("POST", "progress", paint.task_progress, "TaskProgressResponse", fields.TASK_PROGRESS_REPLY),
        Route(
            "GET", "pending-tasks", paint.pending_tasks, "PendingTasksResponse", fields.PENDING_TASKS_REPLY
        ),
        Route("GET", "profile-startup", lists.startup, "StartupProfile", fields.STARTUP_REPLY),
        Route("GET", "quicksettings-hint", settings.hints, "QuicksettingsHint", fields.HINT_ITEM, True),
    )


def create_app(services: ApiServices) -> FastAPI:
    """The application that answers the JSON interface; pages may be mounted on it.

    The routes below ``/sdapi`` are there with ``--api`` and ``--nowebui`` and ask for the password of
    ``--api-auth``; those below ``/internal`` are always there and open, as in the reference.
    """
    flags = services.flags
    app = FastAPI(title="Easel")
    backoff, paint = Backoff(), Generation(services)
    if getattr(flags, "api", False) or getattr(flags, "nowebui", False):
        pairs = parse_pairs(getattr(flags, "api_auth", None))
        documented = [Security(DocumentedBasic())] if pairs else []
        guard = basic_guard(pairs, backoff)
        core = APIRouter(route_class=route_class(guard), dependencies=documented)
        add_routes(core, "/sdapi/v1", core_routes(services, paint))
        add_routes(core, "/easel/v1", easel_routes(services, paint))
        add_later(core, "/sdapi/")
        app.include_router(core)
    page = APIRouter(route_class=route_class(lambda _request: None))
    add_routes(page, "/internal", page_routes(services, paint))
    add_routes(page, "", health_routes(services))
    add_later(page, "/internal/")
    add_later(page, "/sd_extra_networks/")
    app.include_router(page)
    app.add_exception_handler(EaselError, on_easel_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    _add_layers(app, services, backoff)
    return app


def _add_layers(app: FastAPI, services: ApiServices, backoff: Backoff) -> None:
    """The layer added last is the outermost."""
    flags = services.flags
    app.add_middleware(LoginGuard, backoff=backoff)
    app.add_middleware(BodyLimit, limit=services.max_body_bytes)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES)
    if getattr(flags, "api_rate_limit", 0):
        app.add_middleware(RateLimit, per_minute=flags.api_rate_limit)
    app.add_middleware(OriginGuard, rules=OriginRules.from_flags(flags))
    origins = split_origins(getattr(flags, "cors_allow_origins", None))
    pattern = getattr(flags, "cors_allow_origins_regex", None)
    if origins or pattern:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_origin_regex=pattern or None,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=True,
        )
    app.add_middleware(Clock, log_requests=bool(getattr(flags, "api_log", False)))
    subpath = (getattr(flags, "subpath", None) or "").strip("/")
    if subpath:
        app.add_middleware(Subpath, prefix=f"/{subpath}")
