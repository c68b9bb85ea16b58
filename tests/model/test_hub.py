"""A hub that does not answer: one line about what is requested, two tries, a sentence with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from tiny_models import VISION

from mmcs.errors import UserError
from mmcs.model import hub
from mmcs.model.build import build_towers


class Refusing(BaseHTTPRequestHandler):
    """Counts what it is asked for, and answers 503."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(503)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: Any) -> None:
        """Without output."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that refuses, and the paths that it was asked for."""
    asked: list[str] = []
    handler = type("Handler", (Refusing,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub, "_PAUSE", 0.0)
        yield address, asked
        running.shutdown()


def test_a_hub_that_does_not_answer_is_asked_twice(server: tuple[str, list[str]], capsys: Any) -> None:
    address, asked = server
    with hub.hub_access() as access:
        for repository in ("org/one", "org/two"):
            with pytest.raises(OfflineModeIsEnabled):
                huggingface_hub.get_session().head(f"{address}/{repository}/resolve/main/config.json")
    assert asked == ["/org/one/resolve/main/config.json"] * 2
    assert access.failure and "status 503" in access.failure
    host = address.removeprefix("http://")
    lines = [f"mmcs: requesting org/one from {host}", f"mmcs: {host} does not answer (status 503); trying once more"]
    assert capsys.readouterr().err.splitlines() == lines
    assert huggingface_hub.get_session().head(f"{address}/org/one/resolve/main/config.json").status_code == 503


def test_a_model_that_cannot_be_fetched_is_one_sentence_with_a_way_out(
    server: tuple[str, list[str]], tmp_path: Path
) -> None:
    text = {"hf_model_name": "org/texts", "hf_tokenizer_name": "org/texts", "hf_proj_type": "linear"}
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text}))
    with pytest.raises(UserError) as caught:
        build_towers(str(path))
    sentence = str(caught.value)
    for part in ("needs org/texts", "cannot be reached", "hf download org/texts", "local-dir:FOLDER"):
        assert part in sentence
    assert "HF_HUB_OFFLINE is set" not in sentence
    assert len([path for path in server[1] if "org/texts" in path]) == 2


def test_offline_mode_is_named_where_it_is_the_cause(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set, and its cache lacks them.*local-dir:FOLDER"):
        build_towers("hf-hub:org/nothing")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://huggingface.co/bert/resolve/main/config.json", ("huggingface.co", "bert")),
        ("https://mirror.org/a/b/resolve/main/x?y=1", ("mirror.org", "a/b")),
        ("https://huggingface.co/api/models/a/b/tree/main?z", ("huggingface.co", "a/b")),
        ("https://huggingface.co/api/models/a/b", ("huggingface.co", "a/b")),
    ],
)
def test_the_repository_is_read_from_an_address(url: str, place: tuple[str, str]) -> None:
    assert hub._place(url) == place
