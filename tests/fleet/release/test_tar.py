"""The tar stream is one that every tar reads: checked against the standard library and the system's tool."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleet.release import tar

name = st.binary(min_size=1, max_size=300).filter(
    lambda text: not set(text) & set(b"/\0") and text not in (b".", b"..")
)


@given(st.lists(st.tuples(name, st.binary(max_size=1500), st.booleans()), max_size=6, unique_by=lambda one: one[0]))
def test_the_standard_library_reads_it(members: list[tuple[bytes, bytes, bool]]) -> None:
    stream = b""
    for path, content, link in members:
        if link and content and b"\0" not in content:
            stream += tar.link_member(path, content)
        else:
            head = tar.file_header(path, 0o444, len(content))
            assert len(head + content + tar.padding(len(content))) == tar.member_size(path, len(content))
            stream += head + content + tar.padding(len(content))
    stream += tar.end(len(stream))
    assert len(stream) % 10_240 == 0
    with tarfile.open(fileobj=io.BytesIO(stream), mode="r:", encoding="latin-1") as archive:
        for info, (path, content, link) in zip(archive.getmembers(), members, strict=True):
            assert info.name.encode("latin-1") == path
            assert (info.uid, info.gid, info.mtime) == (0, 0, 0)
            if link and content and b"\0" not in content:
                assert info.linkname.encode("latin-1") == content
            else:
                reader = archive.extractfile(info)
                assert reader is not None
                assert reader.read() == content


def test_sizes_that_do_not_fit_octal_digits() -> None:
    for size in (1, (8 << 30) - 1, 8 << 30, 1 << 40):
        info = tarfile.TarInfo.frombuf(tar.file_header(b"x", 0o644, size), "utf-8", "strict")
        assert (info.size, info.mode) == (size, 0o644)


def test_the_system_s_tar_reads_it(tmp_path: Path) -> None:
    long = b"d" * 120 + b"/" + b"f" * 130
    stream = tar.file_header(long, 0o555, 3) + b"abc" + tar.padding(3) + tar.link_member(b"l" * 150, long)
    stream += tar.end(len(stream))
    done = subprocess.run(["tar", "-xomf", "-", "-C", str(tmp_path)], input=stream, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / ("l" * 150)).read_bytes() == b"abc"
    assert (tmp_path / long.decode()).stat().st_mode & 0o777 == 0o555
