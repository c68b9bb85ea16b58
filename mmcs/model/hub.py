"""Access to the Hugging Face hub while a model is built: announced, bounded in time, and explained where it fails.

huggingface_hub repeats each request five times without output, for every file it looks for. ``build.py`` builds within
``hub_access``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_PAUSE = 1.0  # seconds before the one repetition


@dataclass
class Hub:
    """What was asked of the hub.

    Attributes:
        repositories: those that requests were sent for, in their order.
        failure: why the hub cannot be reached; None as long as it answers.
    """

    repositories: list[str] = field(default_factory=list)
    failure: str | None = None

    def explain(self, error: BaseException) -> str | None:
        """What to do about ``error`` if the hub caused it, else None."""
        from huggingface_hub import constants
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

        chain = list(_chain(error))
        what = self.repositories[-1] if self.repositories else None
        if self.failure:
            reason = f"cannot be reached ({self.failure})"
        elif any(isinstance(one, LocalEntryNotFoundError | OfflineModeIsEnabled) for one in chain):
            reason = "is not asked, since HF_HUB_OFFLINE is set, and its cache lacks them"
        elif refused := next((one for one in chain if isinstance(one, HfHubHTTPError)), None):
            return f"the Hugging Face hub refuses {what} ({_first_line(refused)})"
        else:
            return None
        download = f" or 'hf download {what}'" if what else ""
        return (
            f"it needs {what or 'files'} from the Hugging Face hub, which {reason}. Run this command{download} on a machine with a "
            f"connection and copy the hub's cache ({constants.HF_HUB_CACHE}), or name local files: an OpenCLIP folder as the model "
            "(local-dir:FOLDER), a file of weights as pretrained"
        )


@contextlib.contextmanager
def hub_access() -> Iterator[Hub]:
    """Announces on standard error what is requested from the hub, and asks a hub that does not answer twice, not thirty times."""
    from huggingface_hub import get_session, is_offline_mode
    from huggingface_hub.errors import OfflineModeIsEnabled

    hub, client = Hub(), get_session()
    send = client.send

    def bounded(request: Any, *args: Any, **options: Any) -> Any:
        host, repository = _place(str(request.url))
        if hub.failure:  # its cache is looked into all the same
            raise OfflineModeIsEnabled(hub.failure)
        if is_offline_mode() or repository is None:
            return send(request, *args, **options)
        if repository not in hub.repositories:
            hub.repositories.append(repository)
            _say(f"requesting {repository} from {host}")
        for last in (False, True):
            try:
                response = send(request, *args, **options)
            except OfflineModeIsEnabled:
                raise
            except Exception as error:
                failure = _first_line(error)
            else:
                if response.status_code < 500:
                    return response
                failure = f"status {response.status_code}"
            if last:
                hub.failure = f"{host}: {failure}"
                raise OfflineModeIsEnabled(hub.failure)
            _say(f"{host} does not answer ({failure}); trying once more")
            time.sleep(_PAUSE)

    client.send = bounded  # type: ignore[method-assign]
    try:
        yield hub
    finally:
        client.send = send  # type: ignore[method-assign]


def _place(url: str) -> tuple[str, str | None]:
    """Host and repository of ``https://HOST/OWNER/NAME/resolve/…`` and ``https://HOST/api/models/OWNER/NAME…``; None: of neither."""
    found = re.match(
        r"\w+://([^/]+)/(?:api/models/([^?]+?)(?:/(?:resolve|tree|revision|refs)/|\?|$)|(.+?)/resolve/)", url
    )
    return (found[1], found[2] or found[3]) if found else (url, None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _say(text: str) -> None:
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
        print(f"mmcs: {text}", file=sys.stderr, flush=True)
