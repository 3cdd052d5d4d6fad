"""Every command-line flag as one row. A new flag is one new row and nothing else.

The names, types and defaults of the contract are binding. ``<install_dir>``, ``<data_dir>`` and
``<models_dir>`` in a default are filled in when the parser is built. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["switch", "unset", "text", "word", "path", "int", "float", "json", "repeat"]

LAUNCHER = "launcher"
PATHS = "paths"
PRECISION = "precision, memory and device"
ATTENTION = "attention"
MODELS = "model loading"
SERVER = "server"
AUTH = "passwords"
API = "JSON interface"
UI = "page"
EXTENSIONS = "extensions and security"
PICTURE = "one picture without a server (spell these out in full)"


@dataclass(frozen=True)
class Flag:
    """One command-line flag.

    ``kind``: ``switch`` is False until given; ``unset`` is its default until given, then False;
    ``word`` is a lower-cased text; ``path`` becomes absolute; ``repeat`` collects every occurrence.
    ``inert`` marks a flag that the contract itself declares to be without effect.
    ``own`` marks a flag that only Easel has: it is never matched by an abbreviation, so that every
    abbreviation that is unambiguous among the contract's flags stays so.
    """

    name: str
    kind: Kind
    group: str
    help: str
    default: Any = None
    choices: tuple[str, ...] | None = None
    nargs: str | None = None
    metavar: str | None = None
    inert: bool = False
    own: bool = False

    @property
    def dest(self) -> str:
        """The attribute of the parsed flags."""
        return self.name.lstrip("-").replace("-", "_")


def _switch(name: str, group: str, text: str, *, default: bool = False, inert: bool = False) -> Flag:
    return Flag(name, "switch", group, text, default, inert=inert)


def _path(name: str, text: str, default: str | None = None, *, inert: bool = False) -> Flag:
    return Flag(name, "path", PATHS, text, default, inert=inert)


def _text(name: str, group: str, text: str, default: str | None = None, *, inert: bool = False) -> Flag:
    return Flag(name, "text", group, text, default, inert=inert)


def _int(name: str, group: str, text: str, default: int | None = None, *, inert: bool = False) -> Flag:
    return Flag(name, "int", group, text, default, inert=inert)


def _own(name: str, kind: Kind, text: str, metavar: str) -> Flag:
    return Flag(name, kind, PICTURE, text, metavar=metavar, own=True)


def _limit(name: str, text: str) -> Flag:
    return Flag(name, "int", API, text, metavar="N", own=True)


LAUNCHER_FLAGS: tuple[Flag, ...] = (
    _switch("-f", LAUNCHER, "accepted for old start scripts; running as root needs no permission here"),
    _switch(
        "--update-all-extensions", LAUNCHER, "bring every installed extension up to date before starting"
    ),
    _switch("--skip-python-version-check", LAUNCHER, "try to start with a Python outside 3.10 to 3.13"),
    _switch("--skip-torch-cuda-test", LAUNCHER, "do not test that PyTorch can use the GPU that was found"),
    _switch("--reinstall-xformers", LAUNCHER, "install xformers again, with --xformers"),
    _switch("--reinstall-torch", LAUNCHER, "install PyTorch again"),
    _switch(
        "--update-check", LAUNCHER, "ask the repository whether there is a newer Easel; retry failed clones"
    ),
    _switch("--test-server", LAUNCHER, "start the way test suites expect it; ignores COMMANDLINE_ARGS"),
    _switch("--log-startup", LAUNCHER, "print what each part of the start took"),
    _switch("--skip-prepare-environment", LAUNCHER, "start at once, without looking at the environment"),
    _switch("--skip-install", LAUNCHER, "install no packages, neither ours nor those of extensions"),
    _switch("--dump-sysinfo", LAUNCHER, "write a description of this system to a file and stop"),
    _text("--loglevel", LAUNCHER, "CRITICAL, ERROR, WARNING, INFO or DEBUG; else SD_WEBUI_LOG_LEVEL"),
    _switch("--administrator", LAUNCHER, "without effect", inert=True),
    _switch(
        "--skip-version-check",
        LAUNCHER,
        "do not compare the versions of important packages with the tested ones",
    ),
)

PATH_FLAGS: tuple[Flag, ...] = (
    _path("--data-dir", "where settings, outputs, models and extensions of the user live", "<install_dir>"),
    _path("--models-dir", "takes the place of the models folder in the data folder"),
    _path(
        "--config",
        "without effect: hyper-parameters come from the weights",
        "<install_dir>/configs/v1-inference.yaml",
        inert=True,
    ),
    _path("--ckpt", "checkpoint that is listed in addition and loaded first", "<install_dir>/model.ckpt"),
    _path("--ckpt-dir", "folder of checkpoints, searched in addition to models/Stable-diffusion"),
    _path("--vae-dir", "folder of VAE files, searched in addition to models/VAE"),
    _path("--gfpgan-dir", "without effect", "./GFPGAN", inert=True),
    _path("--gfpgan-model", "without effect", inert=True),
    _path("--embeddings-dir", "folder of textual inversion embeddings", "<data_dir>/embeddings"),
    _path(
        "--textual-inversion-templates-dir",
        "folder of prompt templates for training",
        "<install_dir>/textual_inversion_templates",
    ),
    _path("--hypernetwork-dir", "folder of hypernetworks", "<models_dir>/hypernetworks"),
    _path("--localizations-dir", "folder of translations", "<install_dir>/localizations"),
    _path("--codeformer-models-path", "folder of CodeFormer models", "<models_dir>/Codeformer"),
    _path("--gfpgan-models-path", "folder of GFPGAN models", "<models_dir>/GFPGAN"),
    _path("--esrgan-models-path", "folder of ESRGAN upscalers", "<models_dir>/ESRGAN"),
    _path("--bsrgan-models-path", "without effect", "<models_dir>/BSRGAN", inert=True),
    _path("--realesrgan-models-path", "folder of RealESRGAN upscalers", "<models_dir>/RealESRGAN"),
    _path("--dat-models-path", "folder of DAT upscalers", "<models_dir>/DAT"),
    _path("--clip-models-path", "folder of CLIP models for interrogation"),
    _path("--vae-path", "VAE file that is used whatever the settings say"),
    _path("--lora-dir", "folder of LoRA networks", "<models_dir>/Lora"),
    _path("--lyco-dir-backcompat", "second folder of LoRA networks", "<models_dir>/LyCORIS"),
    _text("--ldsr-models-path", PATHS, "folder of the LDSR upscaler", "<models_dir>/LDSR"),
    _text("--scunet-models-path", PATHS, "folder of ScuNET upscalers", "<models_dir>/ScuNET"),
    _text("--swinir-models-path", PATHS, "folder of SwinIR upscalers", "<models_dir>/SwinIR"),
    _text("--ui-config-file", PATHS, "file that holds the defaults of the page", "<data_dir>/ui-config.json"),
    _text("--ui-settings-file", PATHS, "file that holds the settings", "<data_dir>/config.json"),
    Flag("--styles-file", "repeat", PATHS, "file of prompt styles, may hold * and ?; may be repeated", ()),
)

PRECISION_FLAGS: tuple[Flag, ...] = (
    _switch("--no-half", PRECISION, "keep the model in 32 bits"),
    _switch("--no-half-vae", PRECISION, "keep the VAE in 32 bits"),
    Flag(
        "--precision", "text", PRECISION, "arithmetic of the steps", "autocast", ("full", "half", "autocast")
    ),
    _switch("--upcast-sampling", PRECISION, "hold latents in 32 bits and weights in 16, without autocast"),
    _switch("--medvram", PRECISION, "keep only the part of the model in use on the GPU"),
    _switch("--medvram-sdxl", PRECISION, "the same, for SDXL checkpoints only"),
    _switch("--lowvram", PRECISION, "keep only single blocks of the model on the GPU; slow"),
    _switch("--lowram", PRECISION, "load checkpoints straight into GPU memory"),
    _int("--max-batch-count", PRECISION, "without effect", 16, inert=True),
    _switch("--always-batch-cond-uncond", PRECISION, "without effect", inert=True),
    _switch("--unload-gfpgan", PRECISION, "without effect", inert=True),
    _switch("--disable-nan-check", PRECISION, "do not look for NaN in latents and pictures"),
    Flag(
        "--use-cpu",
        "word",
        PRECISION,
        "parts that compute on the CPU: all, sd, interrogate, gfpgan, esrgan, codeformer, scunet, swinir",
        (),
        nargs="+",
        metavar="PART",
    ),
    _switch("--use-ipex", PRECISION, "compute on an Intel GPU"),
    _switch("--opt-channelslast", PRECISION, "hold the UNet in channels-last memory order"),
    _text("--device-id", PRECISION, "number of the GPU to use"),
)

ATTENTION_FLAGS: tuple[Flag, ...] = (
    _switch("--xformers", ATTENTION, "install and use xformers where it can run"),
    _switch("--force-enable-xformers", ATTENTION, "use xformers without asking whether it can run"),
    _switch("--xformers-flash-attention", ATTENTION, "prefer the flash kernel of xformers"),
    _switch("--opt-split-attention", ATTENTION, "attention in slices that fit into free memory"),
    _switch("--opt-sub-quad-attention", ATTENTION, "attention in chunks of queries and keys"),
    _int("--sub-quad-q-chunk-size", ATTENTION, "queries in a chunk", 1024),
    _int("--sub-quad-kv-chunk-size", ATTENTION, "keys in a chunk; by default the root of their number"),
    _int("--sub-quad-chunk-threshold", ATTENTION, "percent of free memory below which nothing is chunked"),
    _switch("--opt-split-attention-invokeai", ATTENTION, "attention in slices of fixed sizes"),
    _switch("--opt-split-attention-v1", ATTENTION, "attention one image and head at a time"),
    _switch("--opt-sdp-attention", ATTENTION, "PyTorch's fused attention"),
    _switch(
        "--opt-sdp-no-mem-attention",
        ATTENTION,
        "PyTorch's fused attention, without its memory-efficient kernel",
    ),
    _switch("--disable-opt-split-attention", ATTENTION, "plain attention, no optimisation chosen by itself"),
)

MODEL_FLAGS: tuple[Flag, ...] = (
    _switch("--do-not-download-clip", MODELS, "never download a text encoder"),
    _switch("--disable-model-loading-ram-optimization", MODELS, "read a checkpoint whole before using it"),
    _switch(
        "--disable-safe-unpickle", MODELS, "load pickled files without checks; lets a file run any program"
    ),
    _switch("--ui-debug-mode", MODELS, "start the page without loading a model"),
    _switch("--no-hashing", MODELS, "compute no sha256 of model files"),
    _switch("--no-download-sd-model", MODELS, "download no checkpoint when there is none"),
    _switch("--skip-load-model-at-start", MODELS, "load the model with the first job"),
)

SERVER_FLAGS: tuple[Flag, ...] = (
    _switch("--share", SERVER, "publish the page through Gradio's tunnel"),
    _text("--ngrok", SERVER, "publish the page through ngrok: token or token:user:password"),
    _text("--ngrok-region", SERVER, "without effect", "", inert=True),
    Flag("--ngrok-options", "json", SERVER, "options of ngrok as a JSON object", {}),
    _switch("--listen", SERVER, "serve other machines too (0.0.0.0)"),
    _int("--port", SERVER, "port; by default the first free one from 7860, or 7861 with --nowebui"),
    _switch("--gradio-debug", SERVER, "start Gradio in its debug mode"),
    Flag(
        "--gradio-allowed-path",
        "repeat",
        SERVER,
        "folder whose files may be served; may be repeated",
        ("<data_dir>",),
    ),
    _switch("--autolaunch", SERVER, "open the page in a browser"),
    _text("--cors-allow-origins", SERVER, "origins that may use the server, joined by commas"),
    _text("--cors-allow-origins-regex", SERVER, "regular expression of such origins"),
    _text("--tls-keyfile", SERVER, "private key for https"),
    _text("--tls-certfile", SERVER, "certificate for https"),
    Flag("--disable-tls-verify", "unset", SERVER, "accept a certificate nobody vouches for", None),
    _text("--server-name", SERVER, "name or address to serve on"),
    _switch("--gradio-queue", SERVER, "without effect", default=True, inert=True),
    _switch("--no-gradio-queue", SERVER, "answer events of the page without its queue"),
    _text("--subpath", SERVER, "serve below this path, for use behind a proxy"),
    _int("--timeout-keep-alive", SERVER, "seconds an idle connection is kept open", 30),
)

AUTH_FLAGS: tuple[Flag, ...] = (
    _text("--gradio-auth", AUTH, "logins for the page: user:password, joined by commas"),
    Flag("--gradio-auth-path", "path", AUTH, "file of such logins"),
    _text("--api-auth", AUTH, "logins for the JSON interface: user:password, joined by commas"),
)

API_FLAGS: tuple[Flag, ...] = (
    _switch("--api", API, "serve the JSON interface beside the page"),
    _switch("--api-log", API, "log every request of the JSON interface"),
    _switch("--nowebui", API, "serve the JSON interface without the page"),
    _switch("--add-stop-route", API, "without effect", inert=True),
    _switch("--api-server-stop", API, "let clients stop, kill or restart the server"),
    Flag(
        "--api-image-urls",
        "switch",
        API,
        "let clients name http(s) addresses of pictures, which the server then fetches",
        False,
        own=True,
    ),
    _limit("--api-rate-limit", "calls a minute that one client may make; 0 sets no limit"),
    _limit("--max-queue", "jobs of one client that may wait; by default 1000"),
    _limit("--max-body-mb", "largest request in megabytes; by default 256"),
    _limit("--max-megapixels", "largest picture that is taken in; by default 200"),
    _limit("--history-size", "pictures that the history remembers; by default 100000, 0 keeps none"),
)

UI_FLAGS: tuple[Flag, ...] = (
    _switch("--no-progressbar-hiding", UI, "without effect", inert=True),
    _switch("--deepdanbooru", UI, "without effect", inert=True),
    _switch("--show-negative-prompt", UI, "without effect", inert=True),
    _switch("--hide-ui-dir-config", UI, "hide the settings of folders and refuse to change them"),
    _switch("--freeze-settings", UI, "refuse every change of settings"),
    _text("--freeze-settings-in-sections", UI, "refuse changes in these sections, joined by commas"),
    _text("--freeze-specific-settings", UI, "refuse changes of these settings, joined by commas"),
    _text("--gradio-img2img-tool", UI, "without effect", inert=True),
    _text("--gradio-inpaint-tool", UI, "without effect", inert=True),
    _text("--theme", UI, "light or dark, whatever the browser prefers"),
    _switch("--use-textbox-seed", UI, "enter seeds as text, for numbers that browsers round"),
    _switch("--disable-console-progressbars", UI, "print no progress bars"),
    _switch("--enable-console-prompts", UI, "print the prompts of every job"),
    _switch("--unix-filenames-sanitization", UI, "remove from file names only what Unix forbids"),
    _int("--filenames-max-length", UI, "longest file name of a picture", 128),
    _switch("--no-prompt-history", UI, "do not keep the last generation text in params.txt"),
)

EXTENSION_FLAGS: tuple[Flag, ...] = (
    _switch("--allow-code", EXTENSIONS, "let scripts run Python code from the page"),
    _switch(
        "--enable-insecure-extension-access",
        EXTENSIONS,
        "install extensions also when others reach this server",
    ),
    _switch("--disable-all-extensions", EXTENSIONS, "start without any extension"),
    _switch("--disable-extra-extensions", EXTENSIONS, "start with the built-in extensions only"),
)

PICTURE_FLAGS: tuple[Flag, ...] = (
    _own("--generate", "text", "paint this prompt to a file and stop", "PROMPT"),
    _own("--output", "text", "file to write; by default outputs/ with the usual name", "FILE"),
    _own("--negative", "text", "negative prompt", "PROMPT"),
    _own("--steps", "int", "number of steps", "N"),
    _own("--seed", "int", "seed; -1 is random", "N"),
    _own("--width", "int", "width in pixels", "N"),
    _own("--height", "int", "height in pixels", "N"),
    _own("--cfg-scale", "float", "strength of the guidance", "X"),
    _own("--sampler", "text", "name of the sampler", "NAME"),
    _own("--scheduler", "text", "name of the schedule type", "NAME"),
    _own("--checkpoint", "text", "name, title or hash of the checkpoint", "NAME"),
)

FLAGS: tuple[Flag, ...] = (
    LAUNCHER_FLAGS
    + PATH_FLAGS
    + PRECISION_FLAGS
    + ATTENTION_FLAGS
    + MODEL_FLAGS
    + SERVER_FLAGS
    + AUTH_FLAGS
    + API_FLAGS
    + UI_FLAGS
    + EXTENSION_FLAGS
    + PICTURE_FLAGS
)

# Accepted, but what they ask for does not happen yet. Remove a name here with the feature.
PENDING: frozenset[str] = frozenset(
    {
        # memory plans
        "medvram",
        "medvram_sdxl",
        "lowvram",
        "lowram",
        "disable_model_loading_ram_optimization",
        # publishing
        "share",
        "ngrok",
        "ngrok_options",
        "disable_tls_verify",
        "gradio_debug",
        "no_gradio_queue",
        "autolaunch",
        # LDSR, interrogation, training
        "textual_inversion_templates_dir",
        "ldsr_models_path",
        "clip_models_path",
        # the full page
        "localizations_dir",
        "theme",
        "use_textbox_seed",
        "allow_code",
        # downloads
        "do_not_download_clip",
        "no_download_sd_model",
    }
)
