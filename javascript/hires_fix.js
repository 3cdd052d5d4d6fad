// The size that the second pass leads to, and which of its sliders count.
"use strict";

/** Whole numbers, as the painter rounds them. */
function hiresTarget(width, height, scale, resizeX, resizeY) {
    if (!resizeX && !resizeY) return [Math.floor(width * scale), Math.floor(height * scale)];
    if (!resizeY) return [resizeX, Math.floor((resizeX * height) / width)];
    if (!resizeX) return [Math.floor((resizeY * width) / height), resizeY];
    return [resizeX, resizeY];
}

/** Shows the size and greys the sliders without effect. */
function onCalcResolutionHires(enable, width, height, hr_scale, hr_resize_x, hr_resize_y) {
    const byScale = !hr_resize_x && !hr_resize_y;
    const inactive = { hr_scale: !byScale, hr_resize_x: byScale, hr_resize_y: byScale };
    for (const [name, grey] of Object.entries(inactive)) {
        gradioApp().getElementById(`txt2img_${name}`)?.classList.toggle("inactive", grey);
    }
    const [x, y] = hiresTarget(width, height, hr_scale, hr_resize_x, hr_resize_y);
    const place = gradioApp().querySelector("#txtimg_hr_finalres .html-container") ||
        gradioApp().getElementById("txtimg_hr_finalres");
    if (place) place.textContent = enable ? `from ${width}×${height} to ${x}×${y}` : "";
    return [enable, width, height, hr_scale, hr_resize_x, hr_resize_y];
}
