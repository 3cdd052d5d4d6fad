// Light and dark. Without a choice the page follows the system.
"use strict";

const THEME_KEY = "easel_theme";

function applyTheme() {
    const chosen = new URLSearchParams(location.search).get("__theme") || localGet(THEME_KEY, null);
    if (chosen === "dark" || chosen === "light") {
        document.body.classList.toggle("dark", chosen === "dark");
    }
}

/** Shows the theme "dark" or "light", also after a reload. */
function set_theme(theme) {
    localSet(THEME_KEY, theme);
    document.body.classList.toggle("dark", theme === "dark");
}

function toggleTheme() {
    set_theme(document.body.classList.contains("dark") ? "light" : "dark");
}

document.addEventListener("DOMContentLoaded", applyTheme);
onUiLoaded(applyTheme);
