"""The program itself: console, profiler, interface for other programs."""

from __future__ import annotations

from modules.options.tables.row import DisplayText, Group, Section, check, checks, radio, slider, text

SYSTEM = Group(
    Section("system", "System", "system"),
    (
        radio(
            "auto_launch_browser",
            "Local",
            "Automatically open webui in browser on startup",
            ("Disable", "Local", "Remote"),
            info="Remote also opens a browser when the server listens to other machines",
        ),
        check(
            "enable_console_prompts",
            False,
            "Print prompts to console when generating with txt2img and img2img.",
        ),
        check("show_warnings", False, "Show warnings in console.", reload_ui=True),
        check(
            "show_gradio_deprecation_warnings",
            True,
            "Show gradio deprecation warnings in console.",
            reload_ui=True,
        ),
        slider(
            "memmon_poll_rate",
            8,
            "VRAM usage polls per second during generation.",
            (0, 40, 1),
            info="0 switches the measurement off",
        ),
        check("samples_log_stdout", False, "Always print all generation info to standard output"),
        check(
            "multiple_tqdm",
            True,
            "Add a second progress bar to the console that shows progress for an entire job.",
        ),
        check("enable_upscale_progressbar", True, "Show a progress bar in the console for tiled upscaling."),
        check("print_hypernet_extra", False, "Print extra hypernetwork information to console."),
        check(
            "list_hidden_files",
            True,
            "Load models/files in hidden directories",
            info="names or folders that begin with a dot",
        ),
        check(
            "disable_mmap_load_safetensors",
            False,
            "Disable memmapping for loading .safetensors files.",
            info="reads slower, helps on some network drives",
        ),
        check(
            "hide_ldm_prints", True, "Prevent Stability-AI's ldm/sgm modules from printing noise to console."
        ),
        check("dump_stacks_on_signal", False, "Print stack traces before exiting the program with ctrl+c."),
    ),
)

PROFILER = Group(
    Section("profiler", "Profiler", "system"),
    (
        DisplayText(
            "profiling_explanation",
            "Records what PyTorch does during the next job. "
            "Profiling slows the job down and the file can grow to hundreds of megabytes.",
        ),
        check("profiling_enable", False, "Enable profiling"),
        checks("profiling_activities", ("CPU",), "Activities", ("CPU", "CUDA")),
        check("profiling_record_shapes", True, "Record shapes"),
        check("profiling_profile_memory", True, "Profile memory"),
        check("profiling_with_stack", True, "Include python stack"),
        text(
            "profiling_filename",
            "trace.json",
            "Profile filename",
            info="written to the working directory, readable by chrome://tracing",
        ),
    ),
)

API = Group(
    Section("API", "API", "system"),
    (
        check(
            "api_enable_requests",
            True,
            "Allow http:// and https:// URLs for input images in API",
            restrict_api=True,
            info="the server fetches the picture itself",
        ),
        check(
            "api_forbid_local_requests",
            True,
            "Forbid URLs to local resources",
            restrict_api=True,
            info="refuses addresses of this machine and of the local network",
        ),
        text("api_useragent", "", "User agent for requests", restrict_api=True),
    ),
)

CALLBACKS = Group(
    Section("callbacks", "Callbacks", "system"),
    (
        DisplayText(
            "sd_vae_explanation",
            "A VAE turns the latents of a model into a picture and back. "
            "The one in use is chosen on the VAE page.",
        ),
    ),
)
