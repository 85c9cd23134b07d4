"""The end of an image's making: what has been warmed up comes to rest, and every program starts from there."""

import array
import gc
import sys
import types

import answer
import padding

_address = id  # Before `padding.move_ids` replaces it.
_kept = []
_ROOM = 4 << 20
_PARTS_OF_CODE = ("co_consts", "co_names", "co_filename", "co_name", "co_qualname", "co_linetable", "co_exceptiontable")


def settle():
    """The addresses of all objects there are: the host makes them immortal, so that using one no longer writes to its page."""
    if sys.version_info[:2] != (3, 14) or sys.maxsize != 0x7FFF_FFFF:
        raise RuntimeError("objects are made immortal as 32-bit CPython 3.14 does it")
    # What the last program left is let go now rather than under the eyes of the next.
    answer.prepare(b"pass", 0)
    answer.call(b"0", b"")
    answer.begin()
    gc.collect()
    everything = [sys.modules, *object.__subclasses__(), *gc.get_objects()]
    gc.freeze()
    addresses = _reachable(everything).tobytes()
    del everything
    padding.fill()
    padding.skip()
    _make_room()
    return addresses


def _make_room():
    """Free memory for a program: what it takes lies in arenas that there are already, and the memory need not grow."""
    small = [bytes(480 - 17) for _ in range(_ROOM // 480)]
    _kept.append(small[::256])  # One in each arena of 256 KiB: an arena with nothing in it would be given back.
    small.clear()
    bytes(_ROOM)


def _reachable(waiting):
    """Addresses of all objects that can be reached. Each is kept: an address that is given away must not be that of a temporary."""
    seen = set()
    addresses = array.array("I")
    while waiting:
        thing = waiting.pop()
        address = _address(thing)
        if address in seen:
            continue
        seen.add(address)
        addresses.append(address)
        _kept.append(thing)
        waiting.extend(gc.get_referents(thing))
        if type(thing) is types.CodeType:
            waiting.extend(getattr(thing, part) for part in _PARTS_OF_CODE)
    return addresses
