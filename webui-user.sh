#!/usr/bin/env bash
# Your own settings. webui.sh reads this file before anything else; updates never overwrite what you
# uncomment here. docs/launcher.md explains every line.

# Words added to the command line, for instance "--listen --port 8895"
#export COMMANDLINE_ARGS=""

# Where a copy of the program lies, when webui.sh does not lie in it
#install_dir="/home/$(whoami)"
#clone_dir="stable-diffusion-webui"

# Python to use, and the folder of the virtual environment ("-" for none)
#python_cmd="python3.11"
#venv_dir="venv"

# git executable, and the file to start
#export GIT="git"
#export LAUNCH_SCRIPT="launch.py"

# Command and index for PyTorch, requirement file, package index, xformers
#export TORCH_COMMAND="pip install torch==2.13.0 torchvision==0.28.0"
#export TORCH_INDEX_URL=""
#export REQS_FILE="requirements_versions.txt"
#export INDEX_URL=""
#export XFORMERS_PACKAGE="xformers==0.0.35"

# Packages in the place of ours
#export CLIP_PACKAGE=""
#export OPENCLIP_PACKAGE=""

# Other sources for what is cloned below repositories/
#export ASSETS_REPO=""
#export STABLE_DIFFUSION_REPO=""
#export STABLE_DIFFUSION_XL_REPO=""
#export K_DIFFUSION_REPO=""
#export BLIP_REPO=""
#export ASSETS_COMMIT_HASH=""
#export STABLE_DIFFUSION_COMMIT_HASH=""
#export STABLE_DIFFUSION_XL_COMMIT_HASH=""
#export K_DIFFUSION_COMMIT_HASH=""
#export BLIP_COMMIT_HASH=""

# Start through accelerate; do not preload tcmalloc
#export ACCELERATE="True"
#export NO_TCMALLOC="True"

# Show all that pip and git say
#export WEBUI_LAUNCH_LIVE_OUTPUT=1
