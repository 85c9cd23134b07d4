"""The interpreter's side: runs a program and a call, and spells the result so that the host can read it without evaluating anything.

All of this module runs once, while the image is built; an instance starts from the memory it leaves behind.
"""

import gc

# Imported by the generated glue, later than `unavailable` allows.
import componentize_py_types
import wit_world

import padding  # First: it moves what is allocated after it.
import library
import unavailable
import answer

unavailable.install()


class WitWorld:
    """The world's exports."""

    def __init__(self) -> None:
        """Called once, at the end of the image's making: importing this module has left its garbage behind."""
        global mark
        # What the first program of all replaces, such as the decimal context, is freed now rather than under the eyes of a program.
        answer.prepare(b"pass")
        answer.call(b"lambda: 0", 1000)
        gc.collect()
        padding.fill()
        gc.freeze()
        # For build.rs, which looks for it in the image: what must differ between the two. New objects are where a program's will be.
        mark = b"".join((b"TINA-", b"IMAGE %x %x,%x,%x;" % (hash("a"), id(object()), id([]), id(lambda: 0))))
        padding.move_ids()

    def prepare(self, program: bytes) -> bytes:
        padding.before_a_program()
        return answer.prepare(program)

    def call(self, expression: bytes, output_bytes: int) -> bytes:
        return answer.call(expression, output_bytes)
