"""The small models."""

from __future__ import annotations

import pytest
from tiny_models import write_hf_model, write_own_model


@pytest.fixture(scope="session")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_own_model(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def hf_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_hf_model(tmp_path_factory.mktemp("hf"))
