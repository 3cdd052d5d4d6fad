"""The version that the text of a picture states."""

from __future__ import annotations

# States the format of the text, not the program: programs that read it (this one included) choose
# conversions by this number, and this one tells them that none is needed.
COMPATIBLE_VERSION = "v1.10.1"
