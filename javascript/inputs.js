// Helpers around form fields, and the token counters of the prompts.
"use strict";

var onEditTimers = {};
var promptTokenCountUpdateFunctions = {};
window.args_to_array = Array.from;

/** Tells the framework that a script changed an input, so that the value reaches the server. */
function updateInput(target) {
    target.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Calls func when elem was edited and then left alone for afterMs; returns the trigger. */
function onEdit(editId, elem, afterMs, func) {
    const trigger = () => {
        clearTimeout(onEditTimers[editId]);
        onEditTimers[editId] = setTimeout(func, afterMs);
    };
    elem.addEventListener("input", trigger);
    return trigger;
}

function numberInput(elem_id) {
    return gradioApp().querySelector(`#${elem_id} input[type="number"], #${elem_id} input[type="range"]`);
}

function setRandomSeed(elem_id) {
    const input = numberInput(elem_id);
    if (!input) return [];
    input.value = "-1";
    updateInput(input);
    return [];
}

function switchWidthHeight(tabname) {
    const width = numberInput(`${tabname}_width`);
    const height = numberInput(`${tabname}_height`);
    if (!width || !height) return [];
    [width.value, height.value] = [height.value, width.value];
    updateInput(width);
    updateInput(height);
    return [];
}

/** Pasting "768x512" into width or height sets both. */
function setupResolutionPasting(tabname) {
    const boxes = ["width", "height"].map((name) => numberInput(`${tabname}_${name}`));
    if (boxes.includes(null)) return;
    for (const box of boxes) {
        box.addEventListener("paste", (event) => {
            const text = event.clipboardData.getData("text/plain");
            const found = /^\s*(\d+)\D+(\d+)\s*$/.exec(text);
            if (!found) return;
            event.preventDefault();
            boxes.forEach((target, i) => {
                target.value = found[i + 1];
                updateInput(target);
                target.dispatchEvent(new Event("blur"));
            });
        });
    }
}

/** Shows a row while the list in it holds something. */
function showWhileFilled(id, values) {
    gradioApp().getElementById(id)?.classList.toggle("easel-hidden", !values?.length);
}

function confirm_clear_prompt(prompt, negative_prompt) {
    const clear = (prompt || negative_prompt) && confirm("Delete both prompts?");
    return clear ? ["", ""] : [prompt, negative_prompt];
}

function update_token_counter(button_id) {
    if (opts.disable_token_counters) return;
    promptTokenCountUpdateFunctions[button_id]?.();
}

function update_txt2img_tokens(...args) {
    update_token_counter("txt2img_token_button");
    update_token_counter("txt2img_negative_token_button");
    return args.length === 2 ? args[0] : args;
}

function update_img2img_tokens(...args) {
    update_token_counter("img2img_token_button");
    update_token_counter("img2img_negative_token_button");
    return args.length === 2 ? args[0] : args;
}

function recalculatePromptTokens(name) {
    promptTokenCountUpdateFunctions[name]?.();
}

function recalculate_prompts_txt2img() {
    update_txt2img_tokens();
    return Array.from(arguments);
}

function recalculate_prompts_img2img() {
    update_img2img_tokens();
    return Array.from(arguments);
}

/** Puts a counter into the corner of its prompt box and keeps it up to date. */
function setupTokenCounting(id, id_counter, id_button) {
    const prompt = gradioApp().getElementById(id);
    const counter = gradioApp().getElementById(id_counter);
    const textarea = prompt?.querySelector("textarea");
    if (!textarea || !counter) return;
    prompt.parentElement.insertBefore(counter, prompt);
    const trigger = onEdit(id, textarea, 500, () => gradioApp().getElementById(id_button)?.click());
    promptTokenCountUpdateFunctions[id] = trigger;
    promptTokenCountUpdateFunctions[id_button] = trigger;
}

onUiLoaded(() => {
    for (const tab of ["txt2img", "img2img"]) {
        setupTokenCounting(`${tab}_prompt`, `${tab}_token_counter`, `${tab}_token_button`);
        setupTokenCounting(`${tab}_neg_prompt`, `${tab}_negative_token_counter`, `${tab}_negative_token_button`);
        setupResolutionPasting(tab);
    }
});
onOptionsChanged(() => {
    document.body.classList.toggle("no-token-counters", Boolean(opts.disable_token_counters));
});
