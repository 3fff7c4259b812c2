"""A new file that appears under its name only when it is complete.

The data goes to a temporary file in the folder of the target (a rename is atomic only inside one file system), whose
disk space is reserved at the start, so that a full disk shows before any work is done. When everything is written and
synchronised the temporary takes the name of the target; on any error it is removed. A process killed outright cannot
remove its temporary, which is called ``.TARGET.simdrop-XXXXXXXX.tmp``; the next run for the same target does.
To tell a left-over from the temporary of a run that is still at work, each run holds a lock on its own.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from simdrop._cli._errors import CommandError, system_error

if sys.platform != "win32":
    import fcntl

_NAME_KEPT = 40  # characters of the target's name, so that the temporary's name stays within 255 bytes
_CANNOT_RESERVE = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_ZEROS = bytes(1 << 20)


@contextlib.contextmanager
def new_file(target: Path, nbytes: int, *, overwrite: bool) -> Iterator[FileIO]:
    """Yield a file to fill, which becomes ``target`` when the block ends without an error.

    Parameters
    ----------
    target : Path
        The name of the finished file.
    nbytes : int
        Its size, reserved at the start.
    overwrite : bool
        Whether an existing file may be replaced. If not, one that appears in the meantime is kept.
    """
    target = Path(os.path.realpath(target))  # through a link, as every other way to write a file does
    with contextlib.ExitStack() as cleanup:
        try:
            _remove_left_overs(target)
            file, path = _create(target)
            cleanup.callback(path.unlink, missing_ok=True)
            cleanup.enter_context(file)
            if overwrite and target.exists():
                os.chmod(path, stat.S_IMODE(target.stat().st_mode))
            if not reserve(file, nbytes):
                # Written, so that space is never found missing inside a mapping.
                for start in range(0, nbytes, len(_ZEROS)):
                    write_all(file, memoryview(_ZEROS)[: nbytes - start])
                file.seek(0)
            yield file
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # Windows does not rename an open file
            _publish(path, target, overwrite)
        except OSError as error:
            raise system_error(str(target), error, needed=nbytes) from None
    _sync_folder(target.parent)


def _prefix(target: Path) -> str:
    return f".{target.name[:_NAME_KEPT]}.simdrop-"


def _create(target: Path) -> tuple[FileIO, Path]:
    """Create and lock a temporary beside the target."""
    while True:
        path = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.tmp")
        file = FileIO(path, "x+b")
        if sys.platform != "win32":  # where an open file cannot be removed anyway
            with contextlib.suppress(OSError):  # without locks nobody takes our file for a left-over either
                fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists():
            return file, path
        file.close()  # a run that cleans up came between the two calls and took it for a left-over


def _remove_left_overs(target: Path) -> None:
    """Remove temporaries of killed runs for the same target; those of runs at work are locked and stay."""
    for path in target.parent.glob(glob.escape(_prefix(target)) + "*.tmp"):
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                path.unlink()  # refused while the file is open
            else:
                with FileIO(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


def reserve(file: FileIO, nbytes: int) -> bool:
    """Give a file its disk space now, leaving its content; False where the system cannot."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(file.fileno(), 0, nbytes)
    except OSError as error:
        if error.errno in _CANNOT_RESERVE:
            return False
        raise
    return True


def write_all(file: FileIO, data: memoryview | bytes) -> None:
    """Write everything: one call may write only a part (up to 2 GiB, or what still fits on the disk)."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[file.write(rest) :]


def _publish(path: Path, target: Path, overwrite: bool) -> None:
    """Give the finished file its name."""
    if not overwrite:
        with contextlib.suppress(OSError):  # the target exists, or the file system has no links
            # Unlike a rename, a link never replaces a file that appeared while this one was written.
            os.link(path, target)
            return
        if target.exists():
            raise CommandError(f"{target}: appeared while this command ran, and was kept; see --force")
    os.replace(path, target)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system offers that."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
