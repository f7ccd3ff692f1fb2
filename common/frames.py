"""How long frames are, ``enc:LENGTH:HEX``, the form of encrypted lines: for those who limit them and need no cipher.

Pure. Source: classic-protocol, section 2.
"""

from __future__ import annotations

BLOCK = 8  # bytes that the cipher takes at once


def padded(length: int) -> int:
    """Bytes of a clear text with its padding: one block more than it fills whole."""
    return (length // BLOCK + 1) * BLOCK


def frame_length(length: int) -> int:
    """Bytes of the frame of a clear text that has `length` bytes."""
    return len(b"enc:%d:" % length) + 2 * padded(length)
