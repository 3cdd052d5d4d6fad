// Generate, Interrupt, Skip, and finding a running job again after a reload.
"use strict";

const runningTasks = {};
const pictureArrived = {};

function create_submit_args(args) {
    return Array.from(args);
}

function submitButton(tabname, name) {
    return gradioApp().getElementById(`${tabname}_${name}`);
}

function setSubmitButtonsVisibility(tabname, showInterrupt, showSkip, showInterrupting) {
    const box = gradioApp().getElementById(`${tabname}_generate_box`);
    const shown = { interrupt: showInterrupt, skip: showSkip, interrupting: showInterrupting };
    for (const [name, show] of Object.entries(shown)) {
        const button = submitButton(tabname, name);
        if (button) button.style.display = show ? "block" : "none";
    }
    box?.classList.toggle("running", showInterrupt || showSkip || showInterrupting);
}

/** show: the Generate button; otherwise Interrupt and Skip. */
function showSubmitButtons(tabname, show) {
    setSubmitButtonsVisibility(tabname, !show, !show, false);
}

function showSubmitInterruptingPlaceholder(tabname) {
    setSubmitButtonsVisibility(tabname, false, true, true);
}

function showRestoreProgressButton(tabname, show) {
    submitButton(tabname, "restore_progress")?.classList.toggle("easel-hidden", !show);
}

/** Id of the task this page waits for, an empty text when there is none. */
function runningTask(tabname) {
    return runningTasks[tabname] || "";
}

function isRunning(tabname) {
    return Boolean(gradioApp().querySelector(`#${tabname}_generate_box.running`));
}

/** Shows progress of a task until it ends. */
function followTask(tabname, id) {
    runningTasks[tabname] = id;
    localSet(`${tabname}_task_id`, id);
    showSubmitButtons(tabname, false);
    clearMessages(tabname);
    const container = gradioApp().getElementById(`${tabname}_gallery_container`);
    pictureArrived[tabname]?.();
    pictureArrived[tabname] = requestProgress(id, container, container, () => {
        if (runningTasks[tabname] === id) showSubmitButtons(tabname, true);
    });
}

/** The messages of the last job must not stand under the next one. */
function clearMessages(tabname) {
    for (const message of gradioApp().querySelectorAll(`#html_log_${tabname} .easel-message`)) {
        message.hidden = true;
    }
    for (const field of gradioApp().querySelectorAll(`#tab_${tabname} .invalid`)) {
        field.classList.remove("invalid");
    }
}

/** Start of the Generate event: argument 0 becomes the task id. */
function submit() {
    const res = create_submit_args(arguments);
    res[0] = randomId();
    followTask("txt2img", res[0]);
    return res;
}

var IMG2IMG_TABS = [
    "img2img_img2img_tab", "img2img_img2img_sketch_tab", "img2img_inpaint_tab", "img2img_inpaint_sketch_tab",
    "img2img_inpaint_upload_tab", "img2img_batch_tab",
];

/** Number of the open sub-tab of a strip; those of img2img keep the numbers that extensions know. */
function get_tab_index(tabId) {
    const panes = Array.from(gradioApp().querySelectorAll(`#${tabId} > .tabitem`));
    const open = panes.findIndex((pane) => pane.style.display !== "none");
    if (tabId !== "mode_img2img") return Math.max(open, 0);
    return Math.max(IMG2IMG_TABS.indexOf(panes[open]?.id), 0);
}

/** Start of the Generate event of img2img: task id, then the number of the sub-tab. */
function submit_img2img() {
    const res = create_submit_args(arguments);
    res[0] = randomId();
    res[1] = get_tab_index("mode_img2img");
    followTask("img2img", res[0]);
    return res;
}

/** End of the Generate event, whether it worked or not: the answer is on the page. */
function finishSubmit(tabname) {
    pictureArrived[tabname]?.();
    delete pictureArrived[tabname];
    delete runningTasks[tabname];
    localRemove(`${tabname}_task_id`);
    showSubmitButtons(tabname, true);
    markInvalidField(tabname);
}

/** An error that names a field points at it. */
function markInvalidField(tabname) {
    const parts = { sampler_name: "sampling", n_iter: "batch_count", negative_prompt: "neg_prompt" };
    const named = gradioApp().querySelector(`#html_log_${tabname} [data-field]`)?.dataset.field;
    if (!named) return;
    gradioApp().getElementById(`${tabname}_${parts[named] || named}`)?.classList.add("invalid");
}

/** Start of the restore event: the stored task id. */
function restoreProgressTxt2img() {
    return restoreTask("txt2img");
}

function restoreProgressImg2img() {
    return restoreTask("img2img");
}

function restoreTask(tabname) {
    const id = localGet(`${tabname}_task_id`, "");
    if (id) followTask(tabname, id);
    return [id];
}

/** After a reload: a job that the server still knows is followed again, its result shown. */
function restoreAfterReload(tabname) {
    const id = localGet(`${tabname}_task_id`, "");
    if (!id) return;
    const asked = { id_task: id, id_live_preview: -1, live_preview: false };
    request("./internal/progress", asked, (answer) => {
        if (runningTask(tabname)) return;
        if (answer.active || answer.queued || answer.completed) {
            submitButton(tabname, "restore_progress")?.click();
        } else {
            localRemove(`${tabname}_task_id`);
        }
    });
}

/** Interrupts; the button says so until the job has ended. */
function setupInterrupt(tabname) {
    submitButton(tabname, "interrupt")?.addEventListener("click", () => {
        if (isRunning(tabname)) showSubmitInterruptingPlaceholder(tabname);
    });
}

onUiLoaded(() => {
    for (const tabname of ["txt2img", "img2img"]) {
        setupInterrupt(tabname);
        restoreAfterReload(tabname);
    }
});
