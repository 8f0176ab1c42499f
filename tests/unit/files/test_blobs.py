"""Blobs are what their name says, whole or not there, and go only when nobody wants them."""

import errno
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.files import BlobMismatchError, BlobStore, BlobTooLargeError, FilesFullError, OffsetError
from weir.files.blobs import chunks_of
from weir.model.problem import ProblemError

DATA = b"weir" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_what_is_put_can_be_read(blobs: BlobStore) -> None:
    assert not blobs.exists(DIGEST)
    blobs.put(DIGEST, [DATA[:7], DATA[7:]], len(DATA))
    assert blobs.exists(DIGEST)
    assert len(DATA) == blobs.size(DIGEST)
    with blobs.open(DIGEST) as content:
        assert DATA == b"".join(chunks_of(content, 100))


def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    assert blobs.size(blobs.put_bytes(b"")) == 0


def test_bytes_are_put_under_their_digest(blobs: BlobStore) -> None:
    assert DIGEST == blobs.put_bytes(DATA)
    assert blobs.put_bytes(DATA) == DIGEST


@pytest.mark.parametrize(
    ("sent", "size", "field"),
    [
        (DATA[:-1], len(DATA), "size"),
        (DATA + b"x", len(DATA), "size"),
        (b"X" + DATA[1:], len(DATA), "digest"),
    ],
)
def test_other_content_than_announced_is_refused_and_dropped(
    blobs: BlobStore, tmp_path: Path, sent: bytes, size: int, field: str
) -> None:
    with pytest.raises(BlobMismatchError) as caught:
        blobs.put(DIGEST, [sent], size)
    assert caught.value.problem.fields[0].field == field
    assert [] == files_in(tmp_path)


def test_knowing_a_digest_does_not_stand_in_for_the_content(blobs: BlobStore) -> None:
    blobs.put_bytes(DATA)
    with pytest.raises(BlobMismatchError):
        blobs.put(DIGEST, [b"X" + DATA[1:]], len(DATA))
    assert blobs.exists(DIGEST)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", DIGEST.upper(), DIGEST + "0", DIGEST[:-1] + "/"])
def test_what_is_no_digest_is_refused(blobs: BlobStore, digest: str) -> None:
    for use in (blobs.size, blobs.open, lambda d: blobs.put(d, [], 0), lambda d: blobs.partial_size(d, "a")):
        with pytest.raises(ProblemError, match="64 hexadecimal digits"):
            use(digest)


def test_a_missing_blob_is_not_found(blobs: BlobStore) -> None:
    assert blobs.size(DIGEST) is None
    with pytest.raises(ProblemError) as caught:
        blobs.open(DIGEST)
    assert caught.value.problem.status == 404


def test_too_large_is_refused_before_and_while_it_is_sent(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path, limit_bytes=100)
    with pytest.raises(BlobTooLargeError):
        blobs.put(DIGEST, [DATA], len(DATA))
    blobs.append(DIGEST, "a", 0, [DATA[:100]])
    with pytest.raises(BlobTooLargeError):
        blobs.append(DIGEST, "a", 100, [DATA[100:]])


def test_an_upload_goes_on_where_it_stopped(blobs: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[:1000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        blobs.append(DIGEST, "a", 0, broken())
    assert blobs.partial_size(DIGEST, "a") == 1000
    assert blobs.partial_size(DIGEST, "b") == 0
    with pytest.raises(OffsetError) as caught:
        blobs.finish(DIGEST, "a", len(DATA))
    assert caught.value.expected == 1000
    assert blobs.append(DIGEST, "a", 1000, [DATA[1000:]]) == len(DATA)
    assert not blobs.exists(DIGEST)
    blobs.finish(DIGEST, "a", len(DATA))
    blobs.finish(DIGEST, "a", len(DATA))
    assert blobs.size(DIGEST) == len(DATA)
    assert blobs.partial_size(DIGEST, "a") == 0


@pytest.mark.parametrize("offset", [0, 999, 1001])
def test_an_upload_neither_overlaps_nor_leaves_a_gap(blobs: BlobStore, offset: int) -> None:
    blobs.append(DIGEST, "a", 0, [DATA[:1000]])
    with pytest.raises(OffsetError, match="go on at 1000") as caught:
        blobs.append(DIGEST, "a", offset, [DATA[offset:]])
    assert caught.value.expected == 1000


def test_a_wrong_upload_is_dropped_and_begins_anew(blobs: BlobStore) -> None:
    blobs.append(DIGEST, "a", 0, [b"X" * len(DATA)])
    with pytest.raises(BlobMismatchError):
        blobs.finish(DIGEST, "a", len(DATA))
    assert blobs.partial_size(DIGEST, "a") == 0
    assert not blobs.exists(DIGEST)


def test_an_abandoned_upload_is_gone(blobs: BlobStore) -> None:
    blobs.append(DIGEST, "a", 0, [DATA])
    blobs.abandon(DIGEST, "a")
    assert blobs.partial_size(DIGEST, "a") == 0


def test_uploaders_of_the_same_blob_do_not_meet(blobs: BlobStore) -> None:
    blobs.append(DIGEST, "a", 0, [b"X" * len(DATA)])
    blobs.append(DIGEST, "b", 0, [DATA])
    blobs.finish(DIGEST, "b", len(DATA))
    with pytest.raises(BlobMismatchError):
        blobs.finish(DIGEST, "a", len(DATA))
    assert blobs.exists(DIGEST)


def test_nothing_can_be_added_to_a_blob_by_a_late_part_of_its_upload(blobs: BlobStore) -> None:
    """A part that waits while the upload becomes a blob must not land in the blob."""
    blobs.append(DIGEST, "a", 0, [DATA])
    expected: list[int] = []

    def late() -> None:
        with pytest.raises(OffsetError) as caught:
            blobs.append(DIGEST, "a", len(DATA), [b"late"])
        expected.append(caught.value.expected)

    adder = threading.Thread(target=late)

    def become_a_blob() -> Iterator[bytes]:
        """While this part holds the upload, as `finish` would."""
        adder.start()
        adder.join(0.1)
        assert adder.is_alive()
        blobs._publish(blobs._partial_path(DIGEST, "a"), DIGEST)
        yield b""

    blobs.append(DIGEST, "a", len(DATA), become_a_blob())
    adder.join(10)
    assert expected == [0]
    with blobs.open(DIGEST) as content:
        assert DATA == content.read()


def test_only_unwanted_and_old_files_are_swept(blobs: BlobStore) -> None:
    wanted, unwanted, young = (blobs.put_bytes(name) for name in (b"wanted", b"unwanted", b"young"))
    blobs.append(DIGEST, "a", 0, [b"left lying"])
    for path in blobs._root.rglob("*"):
        if path.is_file() and path.name != young:
            os.utime(path, (1000, 1000))
    removed = blobs.sweep(lambda digest: digest == wanted, older_than_ms=10_000, now_ms=1_011_000)
    assert removed == 2
    assert blobs.exists(wanted)
    assert blobs.exists(young)
    assert not blobs.exists(unwanted)
    assert blobs.partial_size(DIGEST, "a") == 0


def test_a_blob_brought_anew_counts_as_new(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(DATA)
    os.utime(blobs._path(digest), (1000, 1000))
    blobs.put_bytes(DATA)
    assert blobs.sweep(lambda _: False, older_than_ms=10_000, now_ms=1_011_000) == 0


def test_a_blob_brought_anew_during_the_sweep_stays(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(DATA)
    os.utime(blobs._path(digest), (1000, 1000))

    def keep(_: str) -> bool:
        blobs.put_bytes(DATA)
        return False

    assert blobs.sweep(keep, older_than_ms=10_000, now_ms=1_011_000) == 0
    assert blobs.exists(digest)


@pytest.mark.parametrize("address", ["s3://bucket/weir", "https://example.org/x", "file://elsewhere/x"])
def test_what_is_no_folder_is_not_supported_yet(address: str) -> None:
    with pytest.raises(ProblemError, match="not supported yet; give a folder"):
        BlobStore(address)


def test_a_folder_may_be_given_as_an_address(tmp_path: Path) -> None:
    digest = BlobStore(f"file://{tmp_path}/a%20b").put_bytes(DATA)
    assert BlobStore(str(tmp_path / "a b")).exists(digest)


def test_a_full_disk_says_so_and_keeps_nothing(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset < 1000:
            return real(descriptor, data[:1000], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FilesFullError, match="no room left"):
        blobs.put(DIGEST, [DATA], len(DATA))
    with pytest.raises(FilesFullError):
        blobs.append(DIGEST, "a", 0, [DATA])
    monkeypatch.undo()
    assert not blobs.exists(DIGEST)
    blobs.append(DIGEST, "a", 1000, [DATA[1000:]])
    blobs.finish(DIGEST, "a", len(DATA))
    assert blobs.exists(DIGEST)


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_however_it_is_cut_it_comes_out_whole(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    blobs = BlobStore(tmp_path_factory.getbasetemp() / "cut")
    digest = hashlib.sha256(data).hexdigest()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        blobs.append(digest, "a", start, [data[start:stop]])
    blobs.finish(digest, "a", len(data))
    with blobs.open(digest) as content:
        assert data == content.read()
