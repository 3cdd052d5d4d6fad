// The hooks that every other script and every extension starts from. Loaded first.
"use strict";

var uiUpdateCallbacks = [];
var uiAfterUpdateCallbacks = [];
var uiLoadedCallbacks = [];
var uiTabChangeCallbacks = [];
var optionsChangedCallbacks = [];
var optionsAvailableCallbacks = [];
var uiAfterScriptsCallbacks = [];
var uiAfterUpdateTimeout = null;
var uiCurrentTab = null;
var executedOnLoaded = false;

/** The root of the page; extensions search it by id and by selector. */
function gradioApp() {
    return document;
}

/** The selected button of the strip of page tabs. */
function get_uiCurrentTab() {
    return gradioApp().querySelector(
        '#tabs > .tab-nav > button.selected, #tabs > .tab-wrapper button[role="tab"][aria-selected="true"]'
    );
}

/** The visible page tab. */
function get_uiCurrentTabContent() {
    const tabs = gradioApp().querySelectorAll('#tabs > .tabitem[id^="tab_"]');
    return Array.from(tabs).find((tab) => tab.style.display !== "none") || null;
}

/** Calls back with the records of every batch of DOM mutations. */
function onUiUpdate(callback) {
    uiUpdateCallbacks.push(callback);
}

/** Calls back when the DOM has been still for 200 ms after a change. */
function onAfterUiUpdate(callback) {
    uiAfterUpdateCallbacks.push(callback);
}

/** Calls back once, when every component is in the DOM; at once if that has passed. */
function onUiLoaded(callback) {
    if (executedOnLoaded) {
        executeCallbacks([callback]);
    } else {
        uiLoadedCallbacks.push(callback);
    }
}

/** Calls back when another page tab was selected. */
function onUiTabChange(callback) {
    uiTabChangeCallbacks.push(callback);
}

/** Calls back when the settings arrived or changed. */
function onOptionsChanged(callback) {
    optionsChangedCallbacks.push(callback);
}

/** Calls back once when settings exist; at once if they already do. */
function onOptionsAvailable(callback) {
    if (Object.keys(opts).length) {
        executeCallbacks([callback]);
    } else {
        optionsAvailableCallbacks.push(callback);
    }
}

/** Runs callbacks; one that fails is reported and does not stop the others. */
function executeCallbacks(queue, arg) {
    for (const callback of queue) {
        try {
            callback(arg);
        } catch (error) {
            console.error("A page script failed:", callback, error);
        }
    }
}

function scheduleAfterUiUpdateCallbacks() {
    clearTimeout(uiAfterUpdateTimeout);
    uiAfterUpdateTimeout = setTimeout(() => executeCallbacks(uiAfterUpdateCallbacks), 200);
}

/** Called by the page's load event, which Gradio fires when everything is mounted. */
function uiMounted() {
    if (executedOnLoaded) return;
    executedOnLoaded = true;
    executeCallbacks(uiLoadedCallbacks.splice(0));
    executeCallbacks(uiAfterScriptsCallbacks.splice(0));
}

document.addEventListener("DOMContentLoaded", () => {
    const observer = new MutationObserver((records) => {
        if (uiUpdateCallbacks.length) executeCallbacks(uiUpdateCallbacks, records);
        scheduleAfterUiUpdateCallbacks();
        const tab = get_uiCurrentTab();
        if (tab && tab !== uiCurrentTab) {
            uiCurrentTab = tab;
            executeCallbacks(uiTabChangeCallbacks);
        }
    });
    observer.observe(gradioApp(), { childList: true, subtree: true });
});

/** Whether an element and all its parents are displayed. */
function uiElementIsVisible(el) {
    return el === document || (el instanceof Element && el.checkVisibility());
}

/** Whether some part of an element lies inside the window. */
function uiElementInSight(el) {
    const box = el.getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
}

/** Selects a page tab by the id of its content, by a click on the strip. */
function switch_to_tab(tab_id) {
    gradioApp().querySelector(`#tabs button[role="tab"][aria-controls="${tab_id}"]`)?.click();
    return [];
}

function switch_to_txt2img() {
    switch_to_tab("tab_txt2img");
    return Array.from(arguments);
}

function switch_to_img2img() {
    switch_to_tab("tab_img2img");
    return Array.from(arguments);
}
