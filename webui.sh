#!/usr/bin/env bash
# Finds a Python, makes the virtual environment, then hands over to launch.py.
# Settings belong into webui-user.sh; docs/launcher.md explains variables and exit codes.

if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi

readonly EXIT_PYTHON=10 EXIT_PLATFORM=11 EXIT_CHECKOUT=18

# Prints one screen and leaves: code, headline, then one line for each remedy.
refuse() {
    local code="$1" headline="$2" line
    shift 2
    printf '\nEasel cannot start: %s\n\nWhat to do:\n' "$headline" >&2
    for line in "$@"; do printf '  - %s\n' "$line" >&2; done
    printf '\nExit code %s; docs/launcher.md explains it.\n\n' "$code" >&2
    exit "$code"
}

# The folder of this file, also when it is started through symbolic links.
own_folder() {
    local file="${BASH_SOURCE[0]}" folder
    while [ -L "$file" ]; do
        folder="$(CDPATH='' cd -P -- "$(dirname -- "$file")" && pwd)"
        file="$(readlink -- "$file")"
        case "$file" in /*) ;; *) file="$folder/$file" ;; esac
    done
    CDPATH='' cd -P -- "$(dirname -- "$file")" && pwd
}

# Everything that the user's file sets is handed on, with or without the word export.
read_settings() {
    set -a
    if [ "$(uname -s)" = Darwin ] && [ -f "$script_dir/webui-macos-env.sh" ]; then
        # shellcheck source=webui-macos-env.sh
        . "$script_dir/webui-macos-env.sh"
    fi
    if [ -f "$script_dir/webui-user.sh" ]; then
        # shellcheck source=webui-user.sh
        . "$script_dir/webui-user.sh"
    fi
    set +a
}

# The checkout is where this script lies; a script that was downloaded alone looks into install_dir/clone_dir.
enter_checkout() {
    local folder="$script_dir"
    if [ ! -f "$folder/launch.py" ]; then
        folder="${install_dir:-$script_dir}/${clone_dir:-stable-diffusion-webui}"
    fi
    if [ ! -f "$folder/launch.py" ] || ! cd -- "$folder"; then
        refuse "$EXIT_CHECKOUT" "there is no launch.py in $script_dir, nor in $folder." \
            "Take a complete copy of Easel and start the webui.sh in it." \
            "Or name the folder of a copy: set install_dir (its parent) and clone_dir (its name)."
    fi
}

check_platform() {
    if [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then
        refuse "$EXIT_PLATFORM" "this is a 32-bit system." "PyTorch exists for 64-bit systems only: install one."
    fi
    if [ "$(id -u)" = 0 ]; then
        echo "Warning: running as root; extensions and models can then change this whole system." >&2
    fi
}

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

runs() { "$1" -IS -c 'pass' >/dev/null 2>&1; }

choose_python() {
    local name
    if [ -n "${python_cmd:-}" ] && runs "$python_cmd"; then
        return # launch.py refuses an unsupported version, unless it is told to try
    fi
    if [ -n "${python_cmd:-}" ]; then
        echo "python_cmd is $python_cmd, which does not run: looking for another Python." >&2
    fi
    for name in python3.11 python3.12 python3.10 python3.13 python3; do
        if is_supported "$name"; then
            python_cmd="$name"
            return
        fi
    done
    refuse "$EXIT_PYTHON" "no Python of version 3.10, 3.11, 3.12 or 3.13 was found." \
        "Debian, Ubuntu: apt-get install python3 python3-venv" \
        "Fedora: dnf install python3.11      Arch: pacman -S python      macOS: brew install python@3.11" \
        "If there is one elsewhere: set python_cmd in webui-user.sh to its path."
}

# Enters the environment, made where needed. Its activate script is not used: it breaks when the folder moves.
enter_environment() {
    local folder="${venv_dir:-venv}"
    if [ -n "${VIRTUAL_ENV:-}" ]; then
        if runs "$VIRTUAL_ENV/bin/python"; then python_cmd="$VIRTUAL_ENV/bin/python"; else choose_python; fi
        return
    fi
    if [ "$folder" = - ]; then
        choose_python
        return
    fi
    if ! runs "$folder/bin/python"; then
        choose_python
        if ! is_supported "$python_cmd" && ! asked_for --skip-python-version-check "$@"; then
            exec "$python_cmd" launch.py # explains what is wrong with this Python
        fi
        "$python_cmd" -m modules.launcher.venv "$folder" || exit $?
    fi
    VIRTUAL_ENV="$(CDPATH='' cd -- "$folder" && pwd)"
    PATH="$VIRTUAL_ENV/bin:$PATH"
    export VIRTUAL_ENV PATH
    unset PYTHONHOME
    python_cmd="$VIRTUAL_ENV/bin/python"
}

asked_for() {
    local wanted="$1" word
    shift
    for word in "$@" ${COMMANDLINE_ARGS:-}; do
        if [ "$word" = "$wanted" ]; then return 0; fi
    done
    return 1
}

# tcmalloc gives memory back that the usual allocator keeps. Only when it loads without a complaint.
prefer_tcmalloc() {
    local library
    if [ "$(uname -s)" != Linux ] || [ -n "${NO_TCMALLOC:-}" ] || [ -n "${LD_PRELOAD:-}" ]; then return; fi
    library="$(PATH="/usr/sbin:/sbin:$PATH" ldconfig -p 2>/dev/null \
        | sed -n 's/^[[:space:]]*libtcmalloc\(_minimal\)\{0,1\}\.so\.[0-9][^=]*=> *//p' | head -n 1)"
    if [ -n "$library" ] && [ -z "$(LD_PRELOAD="$library" "$python_cmd" -c 'pass' 2>&1)" ]; then
        export LD_PRELOAD="$library"
        echo "Using $library"
    fi
}

# Some AMD cards work only when they pretend to be a near relative.
help_amd() {
    if [ -n "${HSA_OVERRIDE_GFX_VERSION:-}" ] || ! command -v lspci >/dev/null 2>&1; then return; fi
    case "$(lspci 2>/dev/null | grep -E 'VGA|Display')" in
        *"Navi 1"* | *"Navi 2"*) export HSA_OVERRIDE_GFX_VERSION=10.3.0 ;;
        *Renoir*) export HSA_OVERRIDE_GFX_VERSION=9.0.0 ;;
    esac
}

export_constants() {
    export SD_WEBUI_RESTART=tmp/restart ERROR_REPORTING=FALSE PIP_IGNORE_INSTALLED=0
    export PYTHONUTF8="${PYTHONUTF8:-1}" # any file name under any locale
    if [ -n "${GIT:-}" ]; then export GIT_PYTHON_GIT_EXECUTABLE="$GIT"; fi
}

# The command to run, in the array start_words.
choose_command() {
    start_words=("$python_cmd" -u "${LAUNCH_SCRIPT:-launch.py}")
    if [ "${ACCELERATE:-}" = True ]; then
        if command -v accelerate >/dev/null 2>&1; then
            start_words=(accelerate launch --num_cpu_threads_per_process=6 "${LAUNCH_SCRIPT:-launch.py}")
        else
            echo "ACCELERATE is set, but accelerate is not installed: starting without it." >&2
        fi
    fi
}

# Runs the command so that a signal to this script reaches it. Bash lets background commands ignore
# Ctrl-C, hence the small Python that undoes it; the terminal itself sends Ctrl-C to both.
run_forwarding() {
    local undo='import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT): signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])'
    local child code interrupted
    if { : <&0; } 2>/dev/null; then
        "$python_cmd" -IS -c "$undo" "$@" <&0 &
    else
        "$python_cmd" -IS -c "$undo" "$@" </dev/null &
    fi
    child=$!
    trap 'interrupted=1; kill -TERM "$child" 2>/dev/null' TERM
    trap 'interrupted=1; kill -HUP "$child" 2>/dev/null' HUP
    trap 'interrupted=1' INT
    while :; do
        interrupted=
        wait "$child"
        code=$?
        if [ -z "$interrupted" ]; then break; fi # a trapped signal ends the wait, not the program
    done
    trap - TERM HUP INT
    return "$code"
}

main() {
    local code
    script_dir="$(own_folder)"
    read_settings
    enter_checkout
    check_platform
    enter_environment "$@"
    export_constants
    help_amd
    prefer_tcmalloc
    choose_command
    while :; do
        run_forwarding "${start_words[@]}" "$@"
        code=$?
        if [ ! -f tmp/restart ] || ! rm -f tmp/restart; then exit "$code"; fi
        export SD_WEBUI_RESTARTING=1
    done
}

main "$@"
