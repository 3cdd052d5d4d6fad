// Loaded by every page. onUiLoaded is called when the page is complete.
onUiLoaded(() => console.log("The tutorial extension is loaded."));
