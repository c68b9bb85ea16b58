"""A temporary database on disk, for joining and sorting what may not fit into memory; ``wikititles`` and ``invert`` use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from mmcs.errors import UserError

# Nothing is to be kept, so nothing needs to survive a crash; 64 MiB of pages stay in memory.
_SETTINGS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; PRAGMA temp_store = FILE;"


@contextmanager
def scratch(tables: str) -> Iterator[sqlite3.Connection]:
    """A database with ``tables`` (SQL). It lies where ``TMPDIR`` says, else in ``/var/tmp``, and goes with the process.

    Raises:
        UserError: there is no room for it.
    """
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        try:
            database.executescript(_SETTINGS + tables)
            database.execute("BEGIN")
            yield database
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the temporary database cannot be written ({error}); set TMPDIR to a folder with more room."
            ) from None
