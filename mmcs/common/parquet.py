"""Rows of Parquet files, through pyarrow (the extra ``parquet``). Called for tables of captions and sets in BEIR's format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError

MAGIC = b"PAR1"
BYTES = "(bytes)"  # the value of a column that holds bytes


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file as Python values by column, each with its place for messages (``FILE, row N``).

    Columns of bytes (pictures, as Hugging Face stores them) are not read; their values are ``BYTES``.

    Raises:
        UserError: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path} is a Parquet file, which needs pyarrow: pip install 'mmcs[parquet]'.") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            unread = {name: BYTES for name in schema.names if _holds_bytes(schema.field(name).type)}
            columns = [name for name in schema.names if name not in unread]
            number = 0
            for batch in file.iter_batches(1024, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row | unread
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is a damaged Parquet file ({' '.join(str(error).split())}); download it again."
        ) from None


def _holds_bytes(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
