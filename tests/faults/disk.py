"""Small file systems, and the space that files take on them."""

import math
import os
import subprocess
from functools import cache
from pathlib import Path

PAGE = 4096  # bytes: on a tmpfs, a file takes a multiple of this


def used(folder: Path) -> int:
    """Bytes that the files below a folder take on a tmpfs."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(math.ceil(path.stat().st_size / PAGE) * PAGE for path in files)


@cache
def may_mount() -> bool:
    """Whether this process may mount a file system."""
    if os.geteuid() != 0:
        return False
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"mount-{os.getpid()}"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
        subprocess.run(["umount", folder], check=True)
        return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        folder.rmdir()


def mount(*args) -> None:
    """Run the command ``mount``."""
    subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)
