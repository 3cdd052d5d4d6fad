"""Easel: where the parts are put together. Read it from the bottom.

``launch.py`` runs this file inside the environment that it has prepared; inside such an environment
``python webui.py`` works as well.
"""

from __future__ import annotations

import os
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.extensions.current import HOST
from modules.launcher.ports import bind_port
from modules.launcher.problems import ExitCode, LaunchProblem, guarded
from modules.launcher.restart import is_restartable, request_restart
from modules.launcher.timer import Timer
from modules.options.flags import parse_flags
from modules.options.paths import Paths

if TYPE_CHECKING:
    from fastapi import FastAPI

    from modules.jobs.program import Program

INSTALL_DIR = Path(__file__).resolve().parent
PAGE_PORT, API_PORT = 7860, 7861


def host_of(flags: Namespace) -> str:
    """The address to listen on: this machine only, unless a flag says otherwise."""
    return flags.server_name or ("0.0.0.0" if flags.listen else "127.0.0.1")


def bind(flags: Namespace) -> Any:
    """Take the port before anything heavy happens. Raises ``LaunchProblem``."""
    default = API_PORT if flags.nowebui else PAGE_PORT
    return bind_port(host_of(flags), flags.port, default, search=1 if flags.nowebui else 100)


def announce(program: Program, sock: Any) -> None:
    """Tell the user where to go and how long the start took."""
    scheme = "https" if program.flags.tls_certfile else "http"
    host, port = sock.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    subpath = f"/{program.flags.subpath.strip('/')}" if program.flags.subpath else ""
    print(f"Running on local URL:  {scheme}://{shown}:{port}{subpath}", flush=True)
    program.timer.record("interface")
    print(f"Startup time: {program.timer.summary()}.", flush=True)


def build_page(program: Program, app: FastAPI) -> Any:
    """Replace the waiting page, or the page before, by a new one, while the interface already answers."""
    from modules.compat.mounting import keep_mounted, quicker_assets
    from modules.ui import create_page, mount_page
    from modules.ui.assets import PageAssets
    from modules.ui.gradio_setup import load_gradio
    from modules.ui.logins import page_logins
    from modules.ui.program_services import ProgramServices

    gradio = load_gradio()
    HOST.callbacks.call("before_ui")
    keep_mounted(gradio)
    page = create_page(ProgramServices(program, lambda: build_page(program, app)))
    subpath = (program.flags.subpath or "").strip("/")
    mount_page(
        app,
        page,
        auth=page_logins(program.flags),
        allowed_paths=program.output_folders(),
        root_path=f"/{subpath}" if subpath else None,
        assets=PageAssets.of(user_css=program.paths.data_dir / "user.css"),
        replaced=quicker_assets(gradio),
    )
    print("The page is ready.", flush=True)
    return page


def start_background(program: Program, app: FastAPI) -> None:
    """Import what takes long, load the model and build the page, while requests are served already."""

    def work() -> None:
        from modules.compat.start import load_extensions, start_application

        load_extensions(program, HOST)
        page = None if program.flags.nowebui else build_page(program, app)
        start_application(HOST, page, app)
        if not program.flags.skip_load_model_at_start and not program.flags.ui_debug_mode:
            program.workshop.preload(program.options.view())

    threading.Thread(target=work, name="easel-start", daemon=True).start()


def create_interface(program: Program) -> FastAPI:
    """The web application: JSON interface, and a page that says "starting"."""
    from modules.api.app import create_app
    from modules.api.program_services import api_services

    app = create_app(api_services(program, restartable=is_restartable(os.environ)))
    if not program.flags.nowebui:
        from modules.ui import mount_waiting_page

        mount_waiting_page(app)
    return app


def serve_until_told(program: Program, sock: Any) -> int:
    """Serve until a signal or a command ends it; returns the exit code."""
    from modules.api.server import serve

    app = create_interface(program)
    program.workshop.host = HOST
    program.worker.start()
    announce(program, sock)
    command = serve(
        app,
        sock,
        program.flags,
        queue=program.queue,
        state=program.state,
        on_start=lambda: start_background(program, app),
    )
    program.close()
    if command == "restart":
        request_restart(INSTALL_DIR)
    return int(ExitCode.OK)


def prepare_vision() -> None:
    """Make torchvision importable, before the first package that needs it."""
    from modules.compat.torchvision_cpu import prepare_torchvision

    prepare_torchvision()


def main(timer: Timer | None = None) -> int:
    """Parse, take the port, assemble, serve. ``--generate`` paints one picture instead of serving."""
    timer = timer or Timer()
    flags = parse_flags(sys.argv[1:], os.environ, INSTALL_DIR)
    paths = Paths.from_flags(flags, INSTALL_DIR, os.environ)
    sock = None if flags.generate is not None else bind(flags)

    from modules.jobs.folder_lock import FolderInUse
    from modules.jobs.program import assemble, prepare_data_folder

    problem = prepare_data_folder(paths)
    if problem:
        remedy = ["Choose a folder of yours with --data-dir, or correct the rights of this one."]
        raise LaunchProblem(ExitCode.FOLDER, problem, remedy=remedy)
    try:
        program = assemble(flags, paths, timer, prepare_vision)
    except FolderInUse as error:
        remedy = ["Use the one that runs, stop it first, or give this one a folder with --data-dir."]
        raise LaunchProblem(ExitCode.FOLDER, str(error), remedy=remedy) from error
    if sock is None:
        from modules.jobs.one_picture import generate

        return generate(program)
    return serve_until_told(program, sock)


if __name__ == "__main__":
    code = guarded(lambda: main(globals().get("launch_timer")))
    # Threads of foreign libraries must not keep a program alive that has ended in good order.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
