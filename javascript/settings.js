// The program's settings as the global object `opts`, and the tab that changes them.
"use strict";

var opts = {};
var settingsExcludeTabsFromShowAll = {
    settings_tab_defaults: 1,
    settings_tab_sysinfo: 1,
    settings_tab_actions: 1,
    settings_tab_licenses: 1,
};

/** Takes the settings as JSON text and tells everyone who asked. */
function receiveSettings(text) {
    if (!text) return;
    const { _page_is_older: older, ...values } = JSON.parse(text);
    opts = values;
    executeCallbacks(optionsAvailableCallbacks.splice(0));
    executeCallbacks(optionsChangedCallbacks);
    if (older) gradioApp().getElementById("settings_read_again")?.click();
}

var desiredCheckpointName = null;

/** Takes a checkpoint into use, as if it was chosen in the list. */
function selectCheckpoint(name) {
    desiredCheckpointName = name;
    gradioApp().getElementById("change_checkpoint")?.click();
}

/** The chosen checkpoint of the change event: the one asked for by a script, once, else the list's. */
function takeDesiredCheckpoint(listed) {
    const name = desiredCheckpointName || listed;
    desiredCheckpointName = null;
    return [name];
}

function settingsPages() {
    const pages = gradioApp().querySelectorAll("#settings > .tabitem");
    return Array.from(pages).filter((page) => !(page.id in settingsExcludeTabsFromShowAll));
}

/** The block of a setting, with the refresh button beside it. */
function settingBlock(element) {
    return element.closest(".setting-row") || element;
}

function showSettingsButtons(all) {
    gradioApp().getElementById("settings_show_all_pages")?.classList.toggle("easel-hidden", all);
    gradioApp().getElementById("settings_show_one_page")?.classList.toggle("easel-hidden", !all);
}

function settingsShowAllTabs() {
    gradioApp().getElementById("settings").classList.add("show-all");
    for (const page of settingsPages()) page.classList.add("in-show-all");
    showSettingsButtons(true);
}

function settingsShowOneTab() {
    gradioApp().getElementById("settings").classList.remove("show-all");
    for (const page of settingsPages()) page.classList.remove("in-show-all");
    showSettingsButtons(false);
}

/** Shows the settings whose label, name or explanation holds every word of the search. */
function searchSettings(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const search = words.length > 0;
    if (search) settingsShowAllTabs();
    else settingsShowOneTab();
    for (const page of settingsPages()) {
        let found = false;
        for (const setting of page.querySelectorAll('[id^="setting_"]')) {
            const said = `${setting.id.slice(8)} ${setting.textContent}`.toLowerCase();
            const shown = words.every((word) => said.includes(word));
            settingBlock(setting).classList.toggle("not-found", !shown);
            found ||= shown;
        }
        for (const text of page.querySelectorAll(".setting-text")) text.classList.toggle("not-found", search);
        page.classList.toggle("not-found", search && !found);
    }
}

/** Puts the explanations of the settings behind their labels. They come from code, not from users. */
function addSettingComments() {
    const comments = [["_comments_before", "afterbegin"], ["_comments_after", "beforeend"]];
    for (const [name, place] of comments) {
        for (const [key, text] of Object.entries(opts[name] || {})) {
            const setting = gradioApp().getElementById(`setting_${key}`);
            const label = setting?.querySelector('[data-testid="block-info"]') || setting?.querySelector("label > span");
            if (!label || label.querySelector(`.${name}`)) continue;
            const comment = document.createElement("span");
            comment.className = `settings-comment ${name}`;
            comment.innerHTML = text;
            label.insertAdjacentElement(place, comment);
        }
    }
}

/** Puts the headings of the categories into the strip of pages. */
function addSettingHeadings() {
    const strip = gradioApp().querySelector("#settings > .tab-nav");
    if (!strip || strip.querySelector(".settings-category")) return;
    const buttons = Array.from(strip.querySelectorAll("button"));
    for (const [label, heading] of opts._categories || []) {
        const button = buttons.find((one) => one.textContent.trim() === label);
        if (!button) continue;
        const element = document.createElement("span");
        element.className = "settings-category";
        element.setAttribute("role", "presentation");
        element.textContent = heading;
        button.before(element);
    }
}

/** Says that the page is being built anew; the open page can do nothing meanwhile. */
function announceReload() {
    const note = document.createElement("div");
    note.id = "easel_reloading";
    note.setAttribute("role", "status");
    note.textContent = "Building the page anew…";
    document.body.append(note);
}

/** Opens the new page, or shows why there is none. */
function finishReload(html) {
    if (/class="easel-message error"/.test(html)) {
        gradioApp().getElementById("easel_reloading")?.remove();
    } else {
        location.reload();
    }
}

/** Waits until a restarted server answers, then opens its page. */
function restart_reload() {
    announceReload();
    const look = () => requestGet("./internal/ping", {}, () => location.reload(), () => setTimeout(look, 500));
    setTimeout(look, 2000);
    return [];
}

/** Gives a text to the user as a file. */
function saveText(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function downloadSysinfo() {
    gradioApp().getElementById("sysinfo_write")?.click();
}

onUiLoaded(() => {
    const box = gradioApp().querySelector("#settings_search input, #settings_search textarea");
    box?.setAttribute("aria-label", "Search settings");
    if (box) onEdit("settings_search", box, 150, () => searchSettings(box.value));
    gradioApp().getElementById("settings_show_all_pages")?.addEventListener("click", settingsShowAllTabs);
    gradioApp().getElementById("settings_show_one_page")?.addEventListener("click", settingsShowOneTab);
});
onOptionsAvailable(() => {
    onUiLoaded(() => {
        addSettingHeadings();
        addSettingComments();
    });
});
