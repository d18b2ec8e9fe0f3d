"""Small disks, and what files take of them."""

import math
import os
import subprocess
from functools import cache
from pathlib import Path

PAGE = 4096  # bytes: what a file takes of a small disk is a multiple


def used(folder: Path) -> int:
    """Bytes that the files below a folder take of a disk."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(math.ceil(path.stat().st_size / PAGE) * PAGE for path in files)


@cache
def may_mount() -> bool:
    """Whether this process may mount a file system."""
    if os.geteuid() != 0:
        return False
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"mount-{os.getpid()}"
    place.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", place)
        subprocess.run(["umount", place], check=True)
        return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        place.rmdir()


def mount(*words) -> None:
    """Run mount."""
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)
