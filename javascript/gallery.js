// What is selected in the gallery of the visible tab.
"use strict";

function gallery_container_buttons(gallery_container) {
    const root = gradioApp().getElementById(gallery_container);
    const strip = root?.querySelector(".thumbnails") || root?.querySelector(".grid-container");
    return strip ? Array.from(strip.querySelectorAll(".thumbnail-item")) : [];
}

function visible_gallery_id() {
    const gallery = get_uiCurrentTabContent()?.querySelector('[id$="_gallery"]');
    return gallery ? gallery.id : "txt2img_gallery";
}

function all_gallery_buttons() {
    return gallery_container_buttons(visible_gallery_id());
}

function selected_gallery_button() {
    return all_gallery_buttons().find((button) => button.classList.contains("selected")) || null;
}

/** Index of the selected thumbnail, -1 if none. */
function selected_gallery_index() {
    return selected_gallery_index_id(visible_gallery_id());
}

function selected_gallery_index_id(gallery_container) {
    return gallery_container_buttons(gallery_container).findIndex((b) => b.classList.contains("selected"));
}

/** The selected picture, or the first one. */
function extract_image_from_gallery(gallery) {
    if (!gallery || gallery.length === 0) return [null];
    const index = selected_gallery_index();
    return [gallery[index >= 0 && index < gallery.length ? index : 0]];
}
