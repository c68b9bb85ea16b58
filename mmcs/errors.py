"""What can go wrong for a user, and the exit code each kind ends with.

Raise one of these with one clear sentence: what was wrong, where (file, line, key), what to do. The command line
prints the sentence on standard error without a stack trace. Everything else that is raised is a bug of mmcs.
"""

from __future__ import annotations

import errno
import sys
import threading


class MmcsError(Exception):
    """Base of the errors that end a command with one sentence."""

    exit_code = 1


class UserError(MmcsError, ValueError):
    """A mistake in what was typed or configured: exit code 2."""

    exit_code = 2


class DataError(MmcsError):
    """Data that cannot be used (damaged, empty, of an unknown format): exit code 3."""

    exit_code = 3


class Stopped(SystemExit):
    """A signal ended the command. Like ``KeyboardInterrupt`` it passes by everything that catches an ``Exception``.

    Args:
        exit_code: 128 + the signal.
        sentence: what is kept and what to do.
        step: the last training step.
    """

    def __init__(self, exit_code: int, sentence: str, step: int = 0) -> None:
        super().__init__(exit_code)
        self.exit_code, self.sentence, self.step = exit_code, sentence, step

    def __str__(self) -> str:
        return self.sentence


def exit_code_of(error: BaseException) -> int | None:
    """The exit code for an error that deserves one sentence, or None for a bug that deserves its stack trace."""
    if isinstance(error, MmcsError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EFBIG,
        errno.ENAMETOOLONG,
    ):
        return 1
    return None


def report(error: BaseException) -> int:
    """Prints the one sentence for ``error`` on standard error and returns the exit code; re-raises a bug."""
    code = exit_code_of(error)
    if code is None:
        raise error
    print(f"mmcs: error: {sentence_of(error)}", file=sys.stderr)
    return code


def sentence_of(error: BaseException) -> str:
    """The one sentence for ``error``, on one line."""
    text = str(error)
    if isinstance(error, OSError):
        text = f"{error.strerror} while writing or reading {error.filename or 'a file'}; nothing unfinished was kept."
    return " ".join(text.split())


def hide_disk_errors_of_threads() -> None:
    """Leaves out the stack trace of a thread that meets a full disk: it raises again in the main thread, which reports it."""

    def hook(raised: threading.ExceptHookArgs) -> None:
        if raised.exc_value is None or exit_code_of(raised.exc_value) is None:
            threading.__excepthook__(raised)

    threading.excepthook = hook
