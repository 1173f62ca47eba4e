"""Counting the scans of a JPEG: it is decoded once for each of them."""

from __future__ import annotations

import re

MAX_SCANS = 100
"""libjpeg writes about ten; libtiff, which has met files of thousands too, allows as many as this."""

_SOS, _EOI = 0xDA, 0xD9

# In the data of a scan, 0xFF stands before 0x00 or a restart marker; anything else ends the scan.
_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")

# What may stand between two scans: tables, restart interval, application data, comments.
_BETWEEN = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})


def has_too_many_scans(file: bytes) -> bool:
    """Tell whether a JPEG has more than MAX_SCANS, or may have them behind markers that no encoder writes there.

    A scan may be 12 bytes long and takes in the order of a millisecond for each megapixel: a file of a megabyte could
    keep a thread for half an hour, and nothing ends a thread.
    """
    # Counts thumbnails and whatever is appended, too, as phones do with short films; so it errs upwards.
    if file.count(bytes((0xFF, _SOS))) <= MAX_SCANS:
        return False
    position, scans = 2, 0
    while True:
        while file[position : position + 2] == b"\xff\xff":
            position += 1
        if len(file) < position + 4 or file[position] != 0xFF:
            return file[position + 1 : position + 2] != bytes((_EOI,))
        marker = file[position + 1]
        if marker == _EOI:
            return False
        if scans and marker != _SOS and marker not in _BETWEEN:
            return True
        position += 2 + int.from_bytes(file[position + 2 : position + 4], "big")
        if marker == _SOS:
            scans += 1
            end = _END_OF_SCAN.search(file, position)
            if scans > MAX_SCANS:
                return True
            if end is None:
                return False
            position = end.start()
