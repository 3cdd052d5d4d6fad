@echo off
rem Your own settings. Remove "rem" from a line to use it; docs/launcher.md explains every one.

rem set COMMANDLINE_ARGS=
rem set PYTHON=
rem set VENV_DIR=
rem set SKIP_VENV=1
rem set GIT=
rem set TORCH_COMMAND=
rem set TORCH_INDEX_URL=
rem set REQS_FILE=
rem set INDEX_URL=
rem set XFORMERS_PACKAGE=
rem set ACCELERATE=True
rem set WEBUI_LAUNCH_LIVE_OUTPUT=1

call "%~dp0webui.bat" %*
