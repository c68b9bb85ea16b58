"""Locks between processes, on file systems that have them and on those that do not."""

from __future__ import annotations

import errno
import fcntl
import functools
import sys

_HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
#: Lustre without ``-o flock``, NFS without its lock service, FUSE and network file systems without locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def try_lock(descriptor: int, instead: str) -> bool | None:
    """Takes the exclusive lock of an open file, which ends with the process or the last descriptor.

    Args:
        descriptor: open for writing, as NFS demands.
        instead: what the caller does without locks, for the warning, which is printed once per process.

    Returns:
        True: taken. False: another process holds it. None: the file system has no locks.

    Raises:
        OSError: any other failure.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno not in _UNSUPPORTED:
            raise
        _warn(error.strerror or "no locks", instead)
        return None
    return True


@functools.cache
def _warn(why: str, instead: str) -> None:
    print(f"mmcs: warning: the file system cannot lock files ({why}): {instead}.", file=sys.stderr)
