"""The parts of the program, put together once and handed to the faces.

Nothing here imports PyTorch or Gradio: a program is assembled in a fraction of a second.
"""

from __future__ import annotations

import os
import threading
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.vae_files import VaeFiles
from modules.jobs.events import Events
from modules.jobs.journal import Journal, open_journal
from modules.jobs.keepers import journal_keepers
from modules.jobs.queue import JobQueue
from modules.jobs.state import State
from modules.jobs.worker import Worker
from modules.jobs.workshop import Workshop
from modules.launcher.timer import Timer
from modules.options.paths import Paths
from modules.options.settings import Options, default_options
from modules.postprocessing.table import STEPS
from modules.prompts.styles import StyleDatabase
from modules.upscaling.families import downloadable_names


@dataclass(frozen=True)
class Program:
    """Everything that runs, without the faces."""

    flags: Namespace
    paths: Paths
    options: Options
    catalogue: CheckpointCatalogue
    hashes: HashStore
    styles: StyleDatabase
    workshop: Workshop
    queue: JobQueue
    state: State
    worker: Worker
    timer: Timer
    journal: Journal

    def save_settings(self) -> None:
        """Write the settings file. Raises ``SettingsFileError``."""
        self.options.save(self.paths.config_file)

    def output_folders(self) -> tuple[Path, ...]:
        """Folders that hold finished pictures: the gallery may show files of these and no others."""
        keys = ["outdir_samples", "outdir_grids", "outdir_init_images", "outdir_extras_samples"]
        keys += [f"outdir_{kind}_{what}" for kind in ("txt2img", "img2img") for what in ("samples", "grids")]
        named = [getattr(self.options, key) for key in keys]
        return tuple(dict.fromkeys(self.paths.data_dir / Path(name).expanduser() for name in named if name))

    def close(self) -> None:
        """End the worker and the background work, waiting a few seconds at most."""
        ended = self.worker.stop(timeout=3)
        if not ended:
            # The thread is left behind; what it was at is started again by the next run.
            for job_id in self.queue.running:
                self.queue.put_back(job_id)
        self.queue.close_store()
        self.journal.close()
        self.hashes.close()


def assemble(
    flags: Namespace,
    paths: Paths,
    timer: Timer | None = None,
    prepare_vision: Callable[[], None] = lambda: None,
) -> Program:
    """Make the parts and connect them. The worker is not started yet.

    ``prepare_vision`` is called before the first package is imported that needs torchvision.
    Damaged settings and style files are replaced by their backups, with a message, and never stop this.
    Raises ``FolderInUse`` when another Easel runs on the data folder.
    """
    timer = timer or Timer()
    options = default_options(flags, data_dir=paths.data_dir)
    options.load(paths.config_file, paths.tmp_dir)
    timer.record("settings")
    hashes = HashStore(paths.cache_dir, enabled=not flags.no_hashing)
    catalogue = CheckpointCatalogue(
        paths.checkpoint_dirs,
        hashes,
        extra_files=[paths.checkpoint_file],
        list_hidden=options.list_hidden_files,
    )
    catalogue.refresh()
    vaes = VaeFiles(paths.vae_dirs, paths.checkpoint_dirs, paths.vae_file)
    vaes.refresh()
    timer.record("list models")
    styles = StyleDatabase(paths.styles_files)
    workshop = Workshop(flags, paths, catalogue, vaes, styles, prepare_vision=prepare_vision)
    journal = open_journal(paths.data_dir, options, flags)
    hub = Events()
    queue, state = JobQueue(journal.store, hub), State(workshop.preview, hub)
    worker = Worker(
        queue,
        state,
        {"txt2img": workshop.txt2img, "img2img": workshop.img2img, "extras": workshop.extras},
        reclaim=workshop.reclaim,
        keepers=journal_keepers(journal, hub),
    )
    program = Program(
        flags, paths, options, catalogue, hashes, styles, workshop, queue, state, worker, timer, journal
    )
    _connect_settings(program)
    return program


def _connect_settings(program: Program) -> None:
    """Let the settings offer what is on disk, and let a change of the checkpoint load it."""
    providers, options = program.options.choice_providers, program.options
    catalogue, vaes = program.catalogue, program.workshop.vaes
    providers.register("checkpoints", lambda: [info.title for info in catalogue.infos], catalogue.refresh)
    providers.register("vaes", lambda: ["Automatic", "None", *vaes.names], vaes.refresh)

    folders = program.workshop.networks
    providers.register("loras", lambda: ["None", *folders.loras.files], folders.loras.refresh)
    hypernetworks = folders.hypernetworks
    providers.register("hypernetworks", lambda: ["None", *hypernetworks.files], hypernetworks.refresh)

    upscalers = program.workshop.upscalers
    providers.register("upscalers", lambda: upscalers.names(options.view()))
    for name, family in (("realesrgan_models", "RealESRGAN"), ("dat_models", "DAT")):
        providers.register(name, partial(downloadable_names, family))
    providers.register("face_restorers", lambda: program.workshop.faces.names)
    providers.register("postprocessing_scripts", lambda: [step.name for step in STEPS])
    providers.register("samplers", program.workshop.sampler_names)
    providers.register("attention_optimizations", program.workshop.attention_titles)
    texts = sorted({info.infotext for info in options.data_labels.values() if info.infotext})
    providers.register("infotext_names", lambda: texts)

    def load() -> None:
        # In turn with the pictures, so that two models are never loaded beside each other.
        if threading.current_thread() is program.worker.thread or not program.worker.alive:
            program.workshop.load_model(options.view())
        else:
            program.queue.call(lambda: program.workshop.load_model(options.view()), "load").result()

    for key in ("sd_model_checkpoint", "sd_vae"):
        options.onchange(key, load, call=False)


def prepare_data_folder(paths: Paths) -> str | None:
    """Make the folders that hold the user's files; a sentence when one cannot be made, else ``None``."""
    wanted = (paths.data_dir, *paths.checkpoint_dirs, *paths.vae_dirs, paths.embeddings_dir)
    for folder in wanted:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"The folder {folder} cannot be made: {error.strerror or error}."
    if not os.access(paths.data_dir, os.W_OK):
        return f"The folder {paths.data_dir} cannot be written by this user."
    return None
