"""Where the tests find the reference data: beside the checkout, or nowhere."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
GOLDENS = SHARED / "goldens"
CONTRACT = SHARED / "contract"
HAVE_GOLDENS = (GOLDENS / "README.md").is_file()
HAVE_CONTRACT = (CONTRACT / "README.md").is_file()
DATA = ROOT / "tests" / "data"
