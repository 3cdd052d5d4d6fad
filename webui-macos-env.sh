#!/usr/bin/env bash
# What macOS needs; webui.sh reads it before webui-user.sh, which may change everything here.

export install_dir="${HOME:-}"
export COMMANDLINE_ARGS="--skip-torch-cuda-test --upcast-sampling --no-half-vae --use-cpu interrogate"
# Operations that the Apple GPU lacks are computed on the CPU.
export PYTORCH_ENABLE_MPS_FALLBACK=1
