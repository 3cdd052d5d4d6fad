"""The checkpoint that Easel ships: its pictures, its training, its export and its proof.

Run as ``python -m tools.default_checkpoint <command>``; see docs/default-checkpoint.md.
"""
