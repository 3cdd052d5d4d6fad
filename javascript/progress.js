// The progress bar and the live preview of a running job.
"use strict";

var originalAppTitle = undefined;

/** POSTs JSON; calls handler with the answer, or errorHandler with the reason. */
function request(url, data, handler, errorHandler) {
    sendRequest(url, { method: "POST", body: JSON.stringify(data) }, handler, errorHandler);
}

/** GETs JSON; data becomes the query. */
function requestGet(url, data, handler, errorHandler) {
    const query = new URLSearchParams(data).toString();
    sendRequest(query ? `${url}?${query}` : url, { method: "GET" }, handler, errorHandler);
}

function sendRequest(url, options, handler, errorHandler) {
    fetch(url, { ...options, headers: { "Content-Type": "application/json" } })
        .then((response) => {
            if (!response.ok) throw new Error(`${url} answered ${response.status}`);
            return response.json();
        })
        .then(handler, errorHandler || (() => {}));
}

function pad2(x) {
    return String(x).padStart(2, "0");
}

/** Seconds as "7s", "3m 05s" or "1h 02m 09s". */
function formatTime(secs) {
    const total = Math.max(Math.round(secs), 0);
    const hours = Math.floor(total / 3600);
    const minutes = Math.floor(total / 60) % 60;
    const seconds = total % 60;
    if (hours) return `${hours}h ${pad2(minutes)}m ${pad2(seconds)}s`;
    return minutes ? `${minutes}m ${pad2(seconds)}s` : `${seconds}s`;
}

/** Shows progress in the title of the window; an empty text puts the title back. */
function setTitle(progress) {
    originalAppTitle ??= document.title;
    const shown = progress && (opts.show_progress_in_title ?? true);
    const title = shown ? `[${progress.trim()}] ${originalAppTitle}` : originalAppTitle;
    if (document.title !== title) document.title = title;
}

/** A new task id: task( and 15 base-36 characters ). */
function randomId() {
    const digits = "0123456789abcdefghijklmnopqrstuvwxyz";
    const random = crypto.getRandomValues(new Uint32Array(15));
    return `task(${Array.from(random, (n) => digits[n % 36]).join("")})`;
}

class ProgressView {
    constructor(container, gallery) {
        this.container = container;
        this.gallery = gallery;
        this.root = document.createElement("div");
        this.root.className = "progressDiv";
        this.root.setAttribute("role", "progressbar");
        this.root.setAttribute("aria-label", "Progress of the picture");
        this.root.setAttribute("aria-valuemin", "0");
        this.root.setAttribute("aria-valuemax", "100");
        this.bar = document.createElement("div");
        this.bar.className = "progress";
        this.text = document.createElement("div");
        this.text.className = "progress-text";
        this.root.append(this.bar, this.text);
        this.root.hidden = opts.show_progressbar === false;
        container?.parentNode?.insertBefore(this.root, container);
        this.preview = null;
    }

    show(answer) {
        const percent = Math.min(Math.max((answer.progress || 0) * 100, 0), 100);
        this.bar.style.width = `${percent}%`;
        this.root.classList.toggle("waiting", !answer.active || percent === 0);
        this.root.setAttribute("aria-valuenow", String(Math.round(percent)));
        const parts = [];
        if (percent > 0) parts.push(`${Math.floor(percent)}%`);
        if (answer.active && answer.eta) parts.push(`${formatTime(answer.eta)} left`);
        const numbers = parts.join(" · ");
        this.say([numbers, answer.textinfo].filter(Boolean).join(" · ") || "Starting…");
        setTitle(numbers);
    }

    say(text) {
        if (this.text.textContent === text) return;
        this.text.textContent = text;
        this.root.setAttribute("aria-valuetext", text);
    }

    showPreview(source) {
        if (!this.gallery || !/^data:image\//.test(source)) return;
        if (!this.preview) {
            this.preview = document.createElement("div");
            this.preview.className = "livePreview";
            const image = document.createElement("img");
            image.alt = "Preview of the picture in progress";
            this.preview.append(image);
            this.gallery.append(this.preview);
        }
        this.preview.firstChild.src = source;
    }

    /** Takes the bar away at once; the preview stays until reveal, or for two seconds. */
    close() {
        this.root.remove();
        setTitle("");
        setTimeout(() => this.preview?.remove(), 2000);
    }

    /** Takes the preview away when the pictures under it can be shown without a flash. */
    reveal() {
        if (!this.preview) return;
        requestAnimationFrame(() => {
            const under = Array.from(this.gallery.querySelectorAll("img"));
            const shown = under.filter((image) => !this.preview.contains(image) && image.checkVisibility());
            const decoded = shown.map((image) => image.decode());
            Promise.allSettled(decoded).then(() => this.preview.remove());
        });
    }
}

/**
 * Follows a task: bar before progressbarContainer, preview inside gallery.
 * Calls atEnd once when the task is over, onProgress with every answer. A task that the server does
 * not know, or a server that does not answer, ends it after inactivityTimeout seconds.
 * Returns a function to call when the finished pictures are on the page; it ends the following too.
 */
function requestProgress(id_task, progressbarContainer, gallery, atEnd, onProgress, inactivityTimeout = 40) {
    const view = new ProgressView(progressbarContainer, gallery);
    let previewId = -1;
    let seen = false;
    let lastSign = Date.now();
    let ended = false;

    const end = () => {
        if (ended) return;
        ended = true;
        view.close();
        atEnd?.();
    };
    const silent = () => Date.now() - lastSign > inactivityTimeout * 1000;
    const period = () => Math.max(Number(opts.live_preview_refresh_period) || 500, 100);
    const again = (delay) => setTimeout(poll, document.hidden ? Math.max(delay, 1000) : delay);

    const answered = (answer) => {
        if (ended) return;
        if (answer.active || answer.queued) {
            seen = true;
            lastSign = Date.now();
        }
        if (answer.completed || (seen && !answer.active && !answer.queued) || silent()) {
            end();
            return;
        }
        view.show(answer);
        if (answer.live_preview) {
            view.showPreview(answer.live_preview);
            previewId = answer.id_live_preview;
        }
        onProgress?.(answer);
        again(seen && answer.active ? period() : Math.min(period(), 250));
    };
    const failed = () => {
        if (ended) return;
        if (silent()) {
            end();
            return;
        }
        view.say("Connection lost, trying again…");
        again(1000);
    };
    const poll = () => {
        if (ended) return;
        const preview = !document.hidden && Boolean(gallery) && (opts.live_previews_enable ?? true);
        const asked = { id_task: id_task, id_live_preview: previewId, live_preview: preview };
        request("./internal/progress", asked, answered, failed);
    };
    view.show({ active: false, progress: 0, eta: null, textinfo: null });
    poll();
    return () => {
        end();
        view.reveal();
    };
}
