import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_site import CONTENT, OTHER, Handler, Site, open_site, redirect, serve, sha, status

from convlens.data import download
from convlens.data.download import download_archive
from convlens.errors import ConvLensError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "FIRST_WAIT_SECONDS", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with open_site() as site:
        yield site


def bring(site: Site, target: Path, **known: Any) -> Path:
    return download_archive(site.url, target, **{"sha256": sha(), "size": len(CONTENT), **known})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_appears_whole(site: Site, tmp_path: Path) -> None:
    site.answers = [serve()]
    target = tmp_path / "new" / "photos.zip"
    assert bring(site, target) == target
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["photos.zip"]
    assert site.asked == [{"Range": None, "If-Range": None, "Accept-Encoding": "identity"}]


def test_a_whole_archive_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "photos.zip"
    target.write_bytes(CONTENT)
    assert bring(site, target) == target
    assert site.asked == []


def test_another_archive_in_its_place_is_replaced(site: Site, tmp_path: Path) -> None:
    site.answers = [serve()]
    target = tmp_path / "photos.zip"
    target.write_bytes(OTHER)
    bring(site, target)
    assert target.read_bytes() == CONTENT


def test_a_cut_connection_is_resumed(site: Site, tmp_path: Path) -> None:
    site.answers = [serve(cut=100_000), serve(cut=150_000), serve()]
    bring(site, tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert names(tmp_path) == ["photos.zip"]
    starts = [int(asked["Range"].removeprefix("bytes=")[:-1]) if asked["Range"] else 0 for asked in site.asked]
    assert starts == sorted(starts)
    assert [asked["If-Range"] for asked in site.asked] == [None, '"v1"', '"v1"']


def test_a_killed_download_is_resumed_by_the_next_run(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:200_000])
    (tmp_path / "photos.zip.part.etag").write_text('"v1"')
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert site.asked[0]["Range"] == "bytes=200000-"


def test_a_part_of_unknown_version_is_not_trusted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos.zip.part").write_bytes(OTHER[:200_000])
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert site.asked[0]["Range"] is None


def test_a_whole_part_needs_nothing_more(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos.zip.part").write_bytes(CONTENT)
    (tmp_path / "photos.zip.part.etag").write_text('"v1"')
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert names(tmp_path) == ["photos.zip"]


@pytest.mark.parametrize("known", [{}, {"sha256": None}, {"size": None}])
def test_a_server_without_ranges_sends_all_again(site: Site, tmp_path: Path, known: dict) -> None:
    site.answers = [serve(cut=100_000, ranges=False), serve(ranges=False)]
    bring(site, tmp_path / "photos.zip", **known)
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_server_without_a_strong_tag_is_asked_for_all(site: Site, tmp_path: Path, etag: str | None) -> None:
    site.answers = [serve(cut=100_000, etag=etag), serve(etag=etag)]
    bring(site, tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert [asked["Range"] for asked in site.asked] == [None, None]


def test_content_that_changes_between_tries_is_not_mixed(site: Site, tmp_path: Path) -> None:
    site.answers = [serve(OTHER, etag='"v0"', cut=100_000), serve()]
    bring(site, tmp_path / "photos.zip", sha256=None)
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT


def test_a_server_that_goes_on_elsewhere_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.answers = [serve(cut=100_000), serve(shift=7), serve()]
    bring(site, tmp_path / "photos.zip", sha256=None)
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"sha256": sha(OTHER)}, f"Expected sha256 {sha(OTHER)} .received {sha()}. from http"),
        ({"sha256": None, "size": 300_001}, "Expected 300,001 bytes .received 300,000. from http"),
        ({"sha256": None, "size": 299_999}, "Expected 299,999 bytes from http.*Received: more"),
    ],
)
def test_wrong_content_is_discarded(site: Site, tmp_path: Path, known: dict, words: str) -> None:
    site.answers = [serve()]
    target = tmp_path / "photos.zip"
    target.write_bytes(b"what was there before")
    with pytest.raises(ConvLensError, match=words):
        bring(site, target, **known)
    assert names(tmp_path) == ["photos.zip"]
    assert target.read_bytes() == b"what was there before"


def test_an_endless_answer_is_cut_off(site: Site, tmp_path: Path) -> None:
    def endless(request: Handler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(bytes(1 << 20))
        except OSError:
            pass

    site.answers = [endless]
    with pytest.raises(ConvLensError, match="Received: more"):
        bring(site, tmp_path / "photos.zip")
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_told_at_once(site: Site, tmp_path: Path, code: int) -> None:
    site.answers = [status(code)]
    with pytest.raises(ConvLensError, match=rf"Expected an archive at http.*Received: {code} "):
        bring(site, tmp_path / "photos.zip")
    assert len(site.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, code: int) -> None:
    site.answers = [status(code), serve()]
    bring(site, tmp_path / "photos.zip")
    assert len(site.asked) == 2


def test_a_server_that_stays_busy_is_given_up(site: Site, tmp_path: Path) -> None:
    site.answers = [status(503)]
    with pytest.raises(ConvLensError, match=r"after 5 attempts: 503 .*run the same command again"):
        bring(site, tmp_path / "photos.zip")
    assert len(site.asked) == download.ATTEMPTS


def test_what_has_come_is_kept_when_the_server_goes_away(site: Site, tmp_path: Path) -> None:
    site.answers = [serve(cut=100_000), status(503)]
    with pytest.raises(ConvLensError, match="What has come is kept"):
        bring(site, tmp_path / "photos.zip")
    assert names(tmp_path) == ["photos.zip.part", "photos.zip.part.etag"]
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip")
    assert names(tmp_path) == ["photos.zip"]
    assert site.asked[-1]["Range"] is not None


def test_a_server_that_stalls_is_left(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def stall(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "10")
        request.end_headers()
        released.wait(10)

    monkeypatch.setattr(download, "TIMEOUT_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    site.answers = [stall]
    with pytest.raises(ConvLensError, match=r"after 2 attempts: .*timed out"):
        bring(site, tmp_path / "photos.zip")
    released.set()


def test_a_refused_connection_is_told(site: Site, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/photos.zip"
        with pytest.raises(ConvLensError, match=rf"Expected to download {url}.*after 5 attempts.*refused") as caught:
            download_archive(url, tmp_path / "photos.zip", sha256=None, size=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "/photos.zip"], ids=["another scheme", "a circle"])
def test_redirections_that_lead_nowhere_are_told(site: Site, tmp_path: Path, target: str) -> None:
    site.answers = [redirect(target)]
    with pytest.raises(ConvLensError, match="Expected to download http"):
        bring(site, tmp_path / "photos.zip")


@pytest.mark.parametrize("length", ["-1", "many", "1e9", "٣"])
def test_a_nonsensical_length_is_no_traceback(site: Site, tmp_path: Path, length: str) -> None:
    def answer(request: Handler) -> None:
        request.send_response(200)
        request.wfile.write(b"".join(request._headers_buffer))
        request._headers_buffer = []
        request.wfile.write(f"Content-Length: {length}\r\n\r\n".encode() + CONTENT)

    site.answers = [answer]
    with contextlib.suppress(ConvLensError):
        bring(site, tmp_path / "photos.zip")
        assert (tmp_path / "photos.zip").read_bytes() == CONTENT


def test_without_a_digest_the_digest_is_shown(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip", sha256=None)
    assert f"sha256 of {site.url} is {sha()}; write it into the card" in capsys.readouterr().err


def drip(*, head: bool) -> Callable[[Handler], None]:
    """An answer of a byte now and then: never late for a socket, never done."""

    def answer(request: Handler) -> None:
        if not head:
            request.send_response(200)
            request.send_header("Content-Length", "300000")
            request.end_headers()
        with contextlib.suppress(OSError):
            for letter in (b"HTTP/1.1 200 OK\r\nX-Long: " if head else CONTENT)[:30] + b"a" * 170:
                request.wfile.write(bytes([letter]))
                request.wfile.flush()
                time.sleep(0.02)

    return answer


@pytest.mark.parametrize("head", [True, False], ids=["header", "content"])
def test_a_server_that_drips_is_left(head: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "WINDOW_SECONDS", 0.2)
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    site.answers = [drip(head=head)]
    with pytest.raises(
        ConvLensError,
        match=r"after 2 attempts: \d+ bytes(, then nothing in time| in 0 s are too few).*What has come is kept",
    ):
        bring(site, tmp_path / "photos.zip")
    assert len(site.asked) == 2


def test_a_download_ends_at_its_deadline(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_SECONDS", 0.2)
    site.answers = [drip(head=False)]
    with pytest.raises(ConvLensError, match=r"after 1 attempts: "):
        bring(site, tmp_path / "photos.zip")


def test_a_slow_disk_is_not_a_slow_server(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "WINDOW_SECONDS", 0.2)
    monkeypatch.setattr(download, "MIN_BYTES_PER_SECOND", 1e9)
    monkeypatch.setattr(download, "track", lambda blocks, **_: (time.sleep(0.03) or block for block in blocks))
    site.answers = [serve()]
    bring(site, tmp_path / "photos.zip")
    assert len(site.asked) == 1
