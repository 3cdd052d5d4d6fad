"""Training of embeddings and hypernetworks."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, number, text

TRAINING = Group(
    Section("training", "Training", "training"),
    (
        check(
            "unload_models_when_training",
            False,
            "Move VAE and CLIP to RAM when training if possible. Saves VRAM.",
        ),
        check(
            "pin_memory",
            False,
            "Turn on pin_memory for DataLoader. Makes training slightly faster but can "
            "increase memory usage.",
        ),
        check(
            "save_optimizer_state",
            False,
            "Saves Optimizer state as separate *.optim file. Training of embedding or HN can "
            "be resumed with the matching optim file.",
        ),
        check(
            "save_training_settings_to_txt",
            True,
            "Save textual inversion and hypernet settings to a text file whenever training starts.",
        ),
        text(
            "dataset_filename_word_regex",
            "",
            "Filename word regex",
            info="what it matches in a file name becomes the words of that picture",
        ),
        text("dataset_filename_join_string", " ", "Filename join string"),
        number(
            "training_image_repeats_per_epoch",
            1,
            "Number of repeats for a single input image per epoch; used only for displaying epoch number",
            precision=0,
        ),
        number(
            "training_write_csv_every",
            500,
            "Save an csv containing the loss to log directory every N steps, 0 to disable",
        ),
        check("training_xattention_optimizations", False, "Use cross attention optimizations while training"),
        check("training_enable_tensorboard", False, "Enable tensorboard logging."),
        check("training_tensorboard_save_images", False, "Save generated images within tensorboard."),
        number(
            "training_tensorboard_flush_every",
            120,
            "How often, in seconds, to flush the pending tensorboard events and summaries to disk.",
        ),
    ),
)
