"""A callback that presses Ctrl-C."""

from __future__ import annotations

import os
import signal
from typing import Any

from mmcs.callbacks.preview import SwitchPreview


class Interrupting(SwitchPreview):
    """Sends SIGINT in the hook that ``$INTERRUPTED_IN`` names: to this process, or from rank 0 to the one that started it."""

    def setup(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        self._interrupt(trainer, "setup")

    def on_train_batch_start(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        self._interrupt(trainer, "on_train_batch_start")

    def _interrupt(self, trainer: Any, hook: str) -> None:
        if hook == os.environ["INTERRUPTED_IN"] and trainer.is_global_zero and trainer.global_step == 0:
            os.kill(os.getpid() if trainer.world_size == 1 else os.getppid(), signal.SIGINT)
