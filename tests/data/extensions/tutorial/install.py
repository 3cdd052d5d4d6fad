"""Runs in a process of its own when the extension or the installed packages changed."""

import launch

if not launch.is_installed("packaging"):
    launch.run_pip("install packaging", "packaging for the tutorial extension")
