"""Jobs: what waits, what runs, how far it is and what came of it. Knows no torch and no HTTP."""
