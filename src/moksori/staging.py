"""Folders that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, to be filled and then moved to it; what was not moved is removed in the end.

    Makes the folders above; raises OSError where that or the new one fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging.chmod(0o755)  # mkdtemp makes it private
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
