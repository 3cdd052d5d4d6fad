"""Pictures as files: metadata, names, saving, grids."""
