// Keyboard: Ctrl+Enter generates, Alt+Enter skips, Escape interrupts.
"use strict";

function currentTabButton(name) {
    return get_uiCurrentTabContent()?.querySelector(`button[id$="_${name}"]`) || null;
}

function currentTabRuns() {
    return Boolean(get_uiCurrentTabContent()?.querySelector(".generate-box.running"));
}

function clickInterrupt() {
    const second = currentTabButton("interrupting");
    const waiting = second && second.style.display === "block";
    (waiting ? second : currentTabButton("interrupt"))?.click();
}

/** Generates now; while a job runs, ends it first and waits until the buttons say so. */
function generateOrRestart() {
    if (!currentTabRuns()) {
        currentTabButton("generate")?.click();
        return;
    }
    const box = get_uiCurrentTabContent().querySelector(".generate-box");
    const observer = new MutationObserver(() => {
        if (box.classList.contains("running")) return;
        observer.disconnect();
        currentTabButton("generate")?.click();
    });
    observer.observe(box, { attributes: true, attributeFilter: ["class"] });
    currentTabButton("interrupting")?.click();
}

/** A dialog, an open list or a full-screen picture takes Escape for itself. */
function escapeIsTaken(event) {
    return (
        event.defaultPrevented ||
        Boolean(document.fullscreenElement) ||
        Boolean(event.target.closest?.('[role="dialog"], dialog, #lightboxModal')) ||
        event.target.getAttribute?.("aria-expanded") === "true"
    );
}

document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        generateOrRestart();
    } else if (event.key === "Enter" && event.altKey) {
        event.preventDefault();
        if (currentTabRuns()) currentTabButton("skip")?.click();
    } else if (event.key === "Escape" && currentTabRuns() && !escapeIsTaken(event)) {
        event.preventDefault();
        clickInterrupt();
    }
});
