"""Shards in S3, from a real server of its protocol, and what can go wrong on the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_servers import CONTENT, Server, fetched, serving

from mmcs.errors import UserError
from mmcs.stream import tries
from mmcs.stream.remote import Access, listing, read_many


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Endpoint of a real S3 server (host:port) with a bucket of a few shards."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    import s3fs

    fs = s3fs.S3FileSystem(
        endpoint_url=f"http://{host}:{port}", key="testing", secret="testing", skip_instance_cache=True
    )
    fs.mkdir("shards")
    for number in range(3):
        fs.pipe_file(f"shards/train/{number:05}.tar", CONTENT + bytes([number]))
    fs.pipe_file("shards/train/sizes.json", b"{}")
    yield f"{host}:{port}"
    running.stop()


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Access]]:
    """A misbehaving server in front of the S3 server; credentials from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with serving(Server(upstream=moto)) as running:
        yield running, Access(timeout=1.5, retries=6, storage_options={"endpoint_url": running.url})


def test_s3_with_credentials_of_the_environment(s3: tuple[Server, Access]) -> None:
    _, access = s3
    urls = [f"s3://shards/train/{number:05}.tar" for number in range(3)]
    assert listing("s3://shards/train", access) == listing("s3://shards/train/", access) == urls
    assert listing("s3://shards/train/0000[01].tar", access) == urls[:2]
    assert listing("s3://shards/*/00002.tar", access) == urls[2:]
    assert listing("s3://shards/nothing/", access) == []
    assert fetched(urls[1], access) == CONTENT + b"\1"
    assert read_many(["s3://shards/train/sizes.json", "s3://shards/none.json"], access) == [b"{}", None]


@pytest.mark.parametrize("fault", ["stall", "cut", "500"])
def test_s3_behind_a_line_with_faults(s3: tuple[Server, Access], fault: str) -> None:
    front, access = s3
    front.plan = lambda number: fault if number < 2 else ""
    assert fetched("s3://shards/train/00002.tar", access) == CONTENT + b"\2"
    assert front.gets >= 3


def test_s3_without_credentials_says_so(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    access = Access(timeout=5.0, storage_options={"s3": {"endpoint_url": f"http://{moto}"}})
    with pytest.raises(UserError, match="needs credentials"):
        fetched("s3://shards/train/00000.tar", access)
