"""The stores that files lie in: how they are reached, their file systems, and the errors that name them.

How bytes are brought from them is ``transfer.py``'s. fsspec is imported when the first file system is made.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmcs.errors import DataError, UserError

WEB = ("http", "https")
_EXTRA = (*WEB, "s3", "s3a", "gs", "gcs")  # what the extra "remote" brings the packages of
#: Seconds before the second try; doubled for each further one.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Access:
    """How files that lie elsewhere are reached.

    Attributes:
        timeout: seconds without a single byte after which a try is given up, connecting included.
        retries: tries after the first, with growing pauses (0.5 s doubling, at most 30 s). They are counted anew after
            each 16 MiB that came.
        cache_gb: bound, in 10⁹ bytes, of the machine's cache of whole shards; None: nothing is kept.
        allow_pipe: whether ``pipe:COMMAND`` may run a shell command.
        storage_options: handed to fsspec (endpoint_url, anon, token, profile, …); options under the name of a scheme
            (``s3: {…}``) are for that scheme alone. Without them the stores' libraries find credentials themselves.
    """

    timeout: float = 30.0
    retries: int = 4
    cache_gb: float | None = None
    allow_pipe: bool = False
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.timeout > 0 or self.retries < 0 or (self.cache_gb is not None and not self.cache_gb > 0):
            raise UserError(
                f"timeout={self.timeout}, retries={self.retries}, cache_gb={self.cache_gb}: more than 0, at least 0 and "
                "more than 0 (or null) are wanted."
            )

    @property
    def longest_silence(self) -> float:
        """Seconds that all tries and pauses together can last without a byte."""
        pauses = (min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(self.retries))
        return self.timeout * (self.retries + 1) + sum(pauses)


class FetchError(DataError, OSError):
    """A file could not be had, after all tries or for good."""


class Refused(FetchError):
    """Reading it is not allowed."""


class Missing(Refused):
    """There is no such file."""


@dataclass(frozen=True)
class Version:
    """What tells one state of a file from the next: its size, None where nobody says, and the store's tag or date."""

    size: int | None
    tag: str


class Stores:
    """The file systems that one process talks to, made when first needed; never carried over a fork."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}

    def prepare(self, url: str) -> None:
        """Imports what the URL needs: before a try, whose time counts.

        Raises:
            UserError: unknown scheme, or a package that is not installed.
        """
        scheme = url.partition("://")[0]
        try:
            import fsspec

            fsspec.get_filesystem_class(scheme)
        except ImportError as error:
            how = ": pip install 'mmcs[remote]'" if scheme in _EXTRA else ""
            raise UserError(f"{shown(url)} needs a package that is not installed ({error}){how}.") from None
        except ValueError:
            raise UserError(f"{shown(url)} cannot be read: fsspec knows no {scheme}://.") from None

    def of(self, url: str) -> tuple[Any, str]:
        """The file system of a URL, and the file's name in it.

        Raises:
            UserError: options that the file system does not take.
        """
        name = "/".join(url.split("/", 3)[:3])
        with self._lock:
            if name not in self._known:
                self._known[name] = self._made(url.partition("://")[0], url)
            fs = self._known[name]
        return fs, fs._strip_protocol(url)

    def _made(self, scheme: str, url: str) -> Any:
        from fsspec.asyn import sync
        from fsspec.core import url_to_fs

        try:
            fs, _ = url_to_fs(url, skip_instance_cache=True, **self._options(scheme))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{shown(url)} cannot be read: {scheme}:// does not take this URL or data.access.storage_options "
                f"({scrubbed(str(error))})."
            ) from None
        if scheme in WEB:
            sync(fs.loop, fs.set_session)  # here, under the lock: side by side each would open one of its own
        elif scheme in ("s3", "s3a"):
            fs.retries = 1  # tries are counted here, not in two places
        return fs

    def _options(self, scheme: str) -> dict[str, Any]:
        from fsspec import available_protocols

        options: dict[str, Any] = {}
        sections = set(available_protocols())
        for key, value in (_plain(self._access.storage_options) or {}).items():
            if key not in sections or not isinstance(value, dict):
                options.setdefault(key, value)
            elif key == scheme:
                options |= value
        seconds = self._access.timeout
        if scheme in WEB:
            from aiohttp import ClientTimeout

            limits = ClientTimeout(total=None, connect=seconds, sock_connect=seconds, sock_read=seconds)
            given = options.get("client_kwargs", {})
            options["client_kwargs"] = {"trust_env": True, "timeout": limits, **given}  # proxies and netrc
        elif scheme in ("s3", "s3a"):
            limits_ = {"connect_timeout": seconds, "read_timeout": seconds, "retries": {"max_attempts": 0}}
            options["config_kwargs"] = {**limits_, **options.get("config_kwargs", {})}
        elif scheme in ("gs", "gcs"):
            from aiohttp import ClientTimeout

            options.setdefault("requests_timeout", ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds))
        return options


def shown(url: str) -> str:
    """A URL without passwords and query, a command without its arguments: fit for a log."""
    if url.startswith("pipe:"):
        words = url.removeprefix("pipe:").split()
        return f"pipe:{' '.join(words[:1])}{' …' if len(words) > 1 else ''}"
    return scrubbed(url)


def scrubbed(text: str) -> str:
    """A text in which no URL has a password or a query any more."""
    text = re.sub(r"(\w://)[^/\s@'\"]*@", r"\1", text)
    return re.sub(r"(\w://[^\s'\"?]*)\?[^\s'\")]*", r"\1?…", text)


def _plain(value: Any) -> Any:
    """Nested mappings as dicts: the libraries of the stores know no other."""
    return {str(key): _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value
