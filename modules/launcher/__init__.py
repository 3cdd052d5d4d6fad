"""From a bare Python to a prepared environment, with the standard library alone.

``program.run`` is the whole way; docs/launcher.md describes it for users.
"""
