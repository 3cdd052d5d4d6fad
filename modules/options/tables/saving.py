"""Where and how pictures are saved."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, color, number, radio, slider, text

SAVING_IMAGES = Group(
    Section("saving-images", "Saving images/grids", "saving"),
    (
        check("samples_save", True, "Always save all generated images"),
        text("samples_format", "png", "File format for images", info="png, jpg, webp or avif"),
        text(
            "samples_filename_pattern",
            "",
            "Images filename pattern",
            hidden_with_dirs=True,
            restricted=True,
            info="tokens in square brackets; empty means [seed], or [seed]-[prompt_spaces] without "
            "subdirectories",
        ),
        check(
            "save_images_add_number",
            True,
            "Add number to filename when saving",
            hidden_with_dirs=True,
            info="a running number in front keeps two pictures from having one name",
        ),
        radio(
            "save_images_replace_action",
            "Replace",
            "Saving the image to an existing file",
            ("Replace", "Add number suffix"),
            hidden_with_dirs=True,
            info="only matters for names without a running number",
        ),
        check("grid_save", True, "Always save all generated image grids"),
        text("grid_format", "png", "File format for grids"),
        check(
            "grid_extended_filename", False, "Add extended info (seed, prompt) to filename when saving grid"
        ),
        check("grid_only_if_multiple", True, "Do not save grids consisting of one picture"),
        check("grid_prevent_empty_spots", False, "Prevent empty spots in grid (when set to autodetect)"),
        text(
            "grid_zip_filename_pattern",
            "",
            "Archive filename pattern",
            hidden_with_dirs=True,
            info="name of the archive that the Save and Zip button makes",
        ),
        slider(
            "n_rows",
            -1,
            "Grid row count; use -1 for autodetect and 0 for it to be same as batch size",
            (-1, 16, 1),
        ),
        text(
            "font",
            "",
            "Font for image grids that have text",
            info="path of a font file; empty takes the font that comes with the program",
        ),
        color("grid_text_active_color", "#000000", "Text color for image grids"),
        color("grid_text_inactive_color", "#999999", "Inactive text color for image grids"),
        color("grid_background_color", "#ffffff", "Background color for image grids"),
        check(
            "save_images_before_face_restoration",
            False,
            "Save a copy of image before doing face restoration.",
        ),
        check("save_images_before_highres_fix", False, "Save a copy of image before applying highres fix."),
        check(
            "save_images_before_color_correction",
            False,
            "Save a copy of image before applying color correction to img2img results",
        ),
        check("save_mask", False, "For inpainting, save a copy of the greyscale mask"),
        check("save_mask_composite", False, "For inpainting, save a masked composite"),
        slider("jpeg_quality", 80, "Quality for saved jpeg and avif images", (1, 100, 1)),
        check(
            "webp_lossless", False, "Use lossless compression for webp images", info="quality is then ignored"
        ),
        check("export_for_4chan", True, "Save copy of large images as JPG"),
        number(
            "img_downscale_threshold",
            4.0,
            "File size limit for the above option, MB",
            info="larger files get a smaller copy",
        ),
        number(
            "target_side_length",
            4000,
            "Width/height limit for the above option, in pixels",
            info="longer sides get a smaller copy",
        ),
        number(
            "img_max_size_mp",
            200,
            "Maximum image size",
            info="in megapixels; larger grids are refused before the first picture",
        ),
        check(
            "use_original_name_batch",
            True,
            "Use original name for output filename during batch process in extras tab",
        ),
        check("use_upscaler_name_as_suffix", False, "Use upscaler name as filename suffix in the extras tab"),
        check("save_selected_only", True, "When using 'Save' button, only save a single selected image"),
        check("save_write_log_csv", True, "Write log.csv when saving images using 'Save' button"),
        check("save_init_img", False, "Save init images when using img2img"),
        text(
            "temp_dir",
            "",
            "Directory for temporary images; leave empty for default",
            restricted=True,
            info="pictures that the page shows are written here first",
        ),
        check(
            "clean_temp_dir_at_start",
            False,
            "Cleanup non-default temporary directory when starting webui",
            restricted=True,
        ),
        check(
            "save_incomplete_images",
            False,
            "Save incomplete images",
            info="pictures of a job that was interrupted",
        ),
        check("notification_audio", True, "Play notification sound after image generation", reload_ui=True),
        slider("notification_volume", 100, "Notification sound volume", (0, 100, 1)),
    ),
)

SAVING_PATHS = Group(
    Section("saving-paths", "Paths for saving", "saving"),
    (
        text(
            "outdir_samples",
            "",
            "Output directory for images; if empty, defaults to three directories below",
            hidden_with_dirs=True,
            restricted=True,
            info="takes the place of the three below",
        ),
        text(
            "outdir_txt2img_samples",
            "outputs/txt2img-images",
            "Output directory for txt2img images",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
        text(
            "outdir_img2img_samples",
            "outputs/img2img-images",
            "Output directory for img2img images",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
        text(
            "outdir_extras_samples",
            "outputs/extras-images",
            "Output directory for images from extras tab",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
        text(
            "outdir_grids",
            "",
            "Output directory for grids; if empty, defaults to two directories below",
            hidden_with_dirs=True,
            restricted=True,
            info="takes the place of the two below",
        ),
        text(
            "outdir_txt2img_grids",
            "outputs/txt2img-grids",
            "Output directory for txt2img grids",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
        text(
            "outdir_img2img_grids",
            "outputs/img2img-grids",
            "Output directory for img2img grids",
            hidden_with_dirs=True,
            in_data_dir=True,
        ),
        text(
            "outdir_save",
            "log/images",
            "Directory for saving images using the Save button",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
        text(
            "outdir_init_images",
            "outputs/init-images",
            "Directory for saving init images when using img2img",
            hidden_with_dirs=True,
            restricted=True,
            in_data_dir=True,
        ),
    ),
)

SAVING_TO_DIRS = Group(
    Section("saving-to-dirs", "Saving to a directory", "saving"),
    (
        check("save_to_dirs", True, "Save images to a subdirectory"),
        check("grid_save_to_dirs", True, "Save grids to a subdirectory"),
        check("use_save_to_dirs_for_ui", False, 'When using "Save" button, save images to a subdirectory'),
        text(
            "directories_filename_pattern",
            "[date]",
            "Directory name pattern",
            hidden_with_dirs=True,
            restricted=True,
            info="same tokens as for file names; a slash starts a further level",
        ),
        slider(
            "directories_max_prompt_words",
            8,
            "Max prompt words for [prompt_words] pattern",
            (1, 20, 1),
            hidden_with_dirs=True,
        ),
    ),
)
