"""The interpreter's side: runs a program and a call, and spells the result so that the host can read it without evaluating anything.

All of this module runs once, while the component is built. The host then warms it up and lets it `settle`; an instance starts from the
memory that this leaves behind.
"""

import gc
import platform

# Imported by the generated glue, later than `unavailable` allows.
import componentize_py_types
import wit_world

import padding  # First: it moves what is allocated after it.
import library
import unavailable
import answer
import rest

VERSION = platform.python_version().encode()

unavailable.install()
answer.begin()


class WitWorld:
    """The world's export."""

    def __init__(self) -> None:
        """Called once, at the end of the component's making: importing this module has left its garbage behind."""
        global mark
        gc.collect()
        padding.fill()
        # For build.rs, which looks for it in the image: what must differ between the two, and what must not. New objects are where a program's will be.
        digits = b"".join(b"%o" % (hash("tina-azr"[:length]) & 7) for length in range(1, 9))
        mark = b"".join((b"TINA-", b"IMAGE %b %x,%x,%x %b;" % (digits, id(object()), id([]), id(lambda: 0), VERSION)))
        padding.move_ids()

    def nothing(self) -> None:
        """A component exports something. The host calls `answer` and `rest` by CPython's own C interface."""
