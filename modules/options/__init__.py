"""What the user may choose: command-line flags, paths, settings. Importing it loads nothing heavy."""
