"""What all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings: $MOKSORI_DATA, or ../shared/data beside the repository; skips where neither is."""
    named = os.environ.get("MOKSORI_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no recordings: {root} is no folder; set MOKSORI_DATA to one")
    return root
