#!/usr/bin/env bash
# The whole test suite, from nothing: environment, style, architecture, types, tests.
# Arguments are handed to pytest; with arguments only pytest runs.
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GRADIO_ANALYTICS_ENABLED=False

section() { printf '\n== %s\n' "$*"; }

install_chromium() {
    if command -v chromium >/dev/null || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
}

section "environment"
# The launcher itself prepares the environment: this is its first end-to-end test.
env -u VIRTUAL_ENV -u COMMANDLINE_ARGS bash webui.sh -f --skip-torch-cuda-test --exit
python=venv/bin/python
stamp=venv/.dev-requirements
if ! cmp -s requirements-dev.txt "$stamp"; then
    "$python" -m pip install --quiet --prefer-binary -r requirements-dev.txt
    cp requirements-dev.txt "$stamp"
fi
install_chromium >/dev/null 2>&1 || echo "Chromium could not be installed: browser tests will be skipped."

if [ $# -gt 0 ]; then
    exec "$python" -m pytest "$@"
fi

section "style";        "$python" -m ruff check . && "$python" -m ruff format --check .
section "architecture"; venv/bin/lint-imports
section "types";        "$python" -m mypy
section "tests";        exec "$python" -m pytest
