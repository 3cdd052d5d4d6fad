"""Starts Easel: prepares the environment of this Python, then runs webui.py in it.

Extensions import this file as ``launch``; they get the names of ``modules.launch_utils``.
Without future imports and modern syntax: an old Python must get as far as its refusal.
"""
# ruff: noqa: UP

import os
import sys

OLDEST, NEWEST = (3, 10), (3, 13)
WRONG_PYTHON = 10

REFUSAL = """
Easel cannot start: Python {0}.{1} is not supported; 3.10, 3.11, 3.12 and 3.13 are.

  | {python}

What to do:
  - Install one of these, for instance: apt-get install python3.11 python3.11-venv
  - If there is one already: set python_cmd in webui-user.sh (PYTHON in webui-user.bat),
    and delete the folder venv if it was made with the wrong one.
  - To try this Python all the same: --skip-python-version-check

Exit code {code}; docs/launcher.md explains it.
"""


def refuse_python(version, words):
    """The screen for a Python that is not supported, or an empty text."""
    asked = list(words) + os.environ.get("COMMANDLINE_ARGS", "").split()
    if OLDEST <= tuple(version[:2]) <= NEWEST or "--skip-python-version-check" in asked:
        return ""
    return REFUSAL.format(*version[:2], python=sys.executable, code=WRONG_PYTHON)


def main():
    """Exit code of the start scripts."""
    refusal = refuse_python(sys.version_info, sys.argv[1:])
    if refusal:
        sys.stderr.write(refusal + "\n")
        return WRONG_PYTHON
    from pathlib import Path

    from modules.launcher.problems import guarded
    from modules.launcher.program import run
    from modules.options.flags import command_words, parse_launcher_flags, wants_exit

    install_dir = Path(__file__).resolve().parent

    def start():
        words = command_words(sys.argv[1:], os.environ)
        flags = parse_launcher_flags(sys.argv[1:], os.environ, install_dir)
        return run(install_dir, flags, words, leave=wants_exit(sys.argv[1:], os.environ))

    return guarded(start)


def __getattr__(name):
    from modules import launch_utils

    return getattr(launch_utils, name)


if __name__ == "__main__":
    sys.exit(main())
