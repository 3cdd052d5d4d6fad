// Accordions that are switches: open is on. A hidden checkbox carries the state to the server.
"use strict";

function accordionParts(id) {
    const accordion = gradioApp().getElementById(id);
    return {
        header: accordion?.querySelector("button.label-wrap"),
        hidden: gradioApp().querySelector(`#${CSS.escape(id)}-checkbox input`),
        visible: gradioApp().getElementById(`${id}-visible-checkbox`),
    };
}

/** Makes accordion, hidden and visible checkbox agree. */
function inputAccordionChecked(id, checked) {
    const { header, hidden, visible } = accordionParts(id);
    if (visible) visible.checked = checked;
    if (header && header.classList.contains("open") !== checked) header.click();
    if (hidden && hidden.checked !== checked) hidden.click();
}

function setupAccordion(accordion) {
    const header = accordion.querySelector("button.label-wrap");
    if (!header || gradioApp().getElementById(`${accordion.id}-visible-checkbox`)) return;
    const visible = document.createElement("input");
    visible.type = "checkbox";
    visible.id = `${accordion.id}-visible-checkbox`;
    visible.className = "input-accordion-checkbox";
    visible.setAttribute("aria-label", header.textContent.trim());
    visible.checked = header.classList.contains("open");
    accordion.insertBefore(visible, accordion.firstChild);
    visible.addEventListener("change", () => inputAccordionChecked(accordion.id, visible.checked));
    new MutationObserver(() => {
        inputAccordionChecked(accordion.id, header.classList.contains("open"));
    }).observe(header, { attributes: true, attributeFilter: ["class"] });
}

onUiLoaded(() => {
    for (const accordion of gradioApp().querySelectorAll(".input-accordion")) setupAccordion(accordion);
});
