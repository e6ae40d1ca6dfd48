"""Strip PNG files of the chunks that no pixel needs: text, colour profiles, times and the like.

Pillow refuses a whole picture because of a text of more than a megabyte, a short chunk of pixel density, or a wrong
checksum of a comment. Viewers ignore these chunks, and so does this project.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
FRAME_BYTES = 12
"""Length, kind and checksum of a chunk."""
MAX_TEXT_BYTES = 2**20
"""Pillow's own limit for an unpacked text."""

_FOR_PIXELS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""Optional chunks that pixels depend on. A critical chunk begins with a capital letter."""
_FOR_ORIENTATION = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""Keywords of texts that may contain the picture's orientation."""


def essential_png(data: bytes) -> bytes:
    """The chunks of a PNG that pixels and orientation need; other files, and the rest after a broken chunk, unchanged.

    Chunks are kept byte for byte, so that the decoder detects damage to those that pixels need.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept: list[bytes | memoryview] = [SIGNATURE]
    end, has_text = len(SIGNATURE), False
    for kind, begin, end in _chunks(data):
        chunk = memoryview(data)[begin:end]
        if kind[:1].isupper() or kind in _FOR_PIXELS:
            kept.append(chunk)
        elif _is_whole(chunk) and (
            kind == b"eXIf" or (not has_text and _is_orientation_text(kind, bytes(chunk[8:-4])))
        ):
            has_text = has_text or kind != b"eXIf"
            kept.append(chunk)
    return b"".join((*kept, memoryview(data)[end:]))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of every complete chunk."""
    begin = len(SIGNATURE)
    while begin + FRAME_BYTES <= len(data):
        end = begin + FRAME_BYTES + int.from_bytes(data[begin : begin + 4], "big")
        kind = data[begin + 4 : begin + 8]
        if end > len(data) or not kind.isalpha():
            return
        yield kind, begin, end
        begin = end


def _is_whole(chunk: memoryview) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _is_orientation_text(kind: bytes, body: bytes) -> bool:
    """Whether a chunk is a text that may contain the orientation, and is not longer than Pillow accepts."""
    keyword, _, rest = body.partition(b"\0")
    if kind not in {b"tEXt", b"zTXt", b"iTXt"} or keyword not in _FOR_ORIENTATION:
        return False
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\x01":
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        return len(body) <= MAX_TEXT_BYTES
    try:
        unpacker = zlib.decompressobj()
        unpacker.decompress(packed, MAX_TEXT_BYTES)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail
