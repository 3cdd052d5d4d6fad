// Browser storage that is allowed to be missing or full.
"use strict";

function localSet(k, v) {
    try {
        localStorage.setItem(k, v);
    } catch (error) {
        console.warn(`Could not store ${k} in the browser:`, error);
    }
}

function localGet(k, def) {
    try {
        return localStorage.getItem(k) ?? def;
    } catch (error) {
        console.warn(`Could not read ${k} from the browser:`, error);
        return def;
    }
}

function localRemove(k) {
    try {
        localStorage.removeItem(k);
    } catch (error) {
        console.warn(`Could not remove ${k} from the browser:`, error);
    }
}
