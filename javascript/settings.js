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
