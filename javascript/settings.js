// The program's settings as the global object `opts`.
"use strict";

var opts = {};

/** Takes the settings as JSON text and tells everyone who asked. */
function receiveSettings(text) {
    if (!text) return;
    opts = JSON.parse(text);
    executeCallbacks(optionsAvailableCallbacks.splice(0));
    executeCallbacks(optionsChangedCallbacks);
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
