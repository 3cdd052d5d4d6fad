// Names and explanations of controls that show only a symbol.
"use strict";

var titles = {
    "\u{1F504}": "Read the list again",
    "\u{1F3B2}\uFE0F": "A new random seed for each picture (-1)",
    "\u267B\uFE0F": "Use the seed of the selected picture again",
    "\u21C5": "Swap width and height",
    "\u{1F5D1}\uFE0F": "Delete both prompts",
    "\u{1F4CB}": "Write the chosen styles into the prompts",
    "\u{1F300}": "Show the running job",
    "\u2199\uFE0F": "Read a generation text from the prompt, or that of the last picture, into all fields",
    "\u25D1": "Light or dark",
    "Interrupt": "End the job (Escape)",
    "Skip": "End this batch and go on with the next (Alt+Enter)",
    "Interrupting...": "The picture at work is finished first; click again to end at once",
    "Generate": "Paint (Ctrl+Enter)",
    "Extra": "Variations of a seed",
};

/** Gives an element its title, and a name to buttons that are only a symbol. */
function updateTooltip(element) {
    const text = element.textContent.trim();
    const title = titles[text];
    if (!title || element.title) return;
    element.title = title;
    if (element.classList.contains("tool")) element.setAttribute("aria-label", title);
}

onUiLoaded(() => {
    for (const element of gradioApp().querySelectorAll("button, label > span")) updateTooltip(element);
});
