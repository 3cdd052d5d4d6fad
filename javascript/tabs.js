// The strips of tabs, as scripts and style sheets expect them: a direct child .tab-nav of each .tabs.
"use strict";

function moveTabStrips() {
    for (const wrapper of gradioApp().querySelectorAll(".tabs > .tab-wrapper")) {
        const strip = wrapper.querySelector('[role="tablist"]');
        if (!strip) continue;
        strip.classList.add("tab-nav");
        wrapper.before(strip);
        wrapper.hidden = true;
    }
}

onUiUpdate(moveTabStrips);
