"""What a program cannot have here: files, clock, randomness, input, and modules that are not in the image.

Without these replacements the guest would trap, which says nothing of use. They are courtesy, not the wall: the wall is that the
instance has no imports.
"""

import builtins
import io
import os
import queue
import random
import secrets
import sys
import threading
import time
import tokenize
import uuid
import warnings


def _refuse(name, error=OSError):
    def refuse(*arguments, **keywords):
        raise error(f"{name} is not available in the sandbox")

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


class _NoMoreModules:
    """Last in `sys.meta_path`: whatever is not imported yet does not exist."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise ModuleNotFoundError(f"No module named {name!r} in the sandbox", name=name)


class _Input:
    """Standard input: there is none."""

    def __getattr__(self, name):
        raise OSError("standard input is not available in the sandbox")


_CLOCKS = (
    "time", "time_ns", "sleep", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns",
    "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "clock_getres", "get_clock_info",
)  # fmt: skip
_FILES = (
    "open", "listdir", "scandir", "stat", "lstat", "mkdir", "makedirs", "remove", "unlink", "rename", "replace", "rmdir", "walk", "chdir",
    "getcwd", "getcwdb", "system", "popen", "urandom", "getrandom", "read", "write", "close", "link", "symlink", "readlink", "utime",
    "access", "fdopen", "fstat", "lseek", "dup", "pipe", "truncate", "ftruncate", "fsync", "isatty", "get_terminal_size", "times", "_exit",
    "abort",
)  # fmt: skip


def _randomness():
    """`random` works once it is seeded; a seed from the clock or the system there is not."""
    shared = random._inst
    names = [name for name in random.__all__ if getattr(getattr(random, name), "__self__", None) is shared and name != "seed"]
    usable = {name: getattr(random, name) for name in names}
    unseeded = {name: _refuse(f"random.{name} without random.seed(n)") for name in names if name != "setstate"}
    start = random.Random.__init__
    sow = random.Random.seed

    def seed(a=None, version=2):
        if a is None:
            raise OSError("random.seed() without a value is not available in the sandbox")
        sow(shared, a, version)
        for name in names:
            setattr(random, name, usable[name])

    def __init__(self, x=None):
        if x is None:
            raise OSError("random.Random() without a seed is not available in the sandbox")
        start(self, x)

    def reseed(self, a=None, version=2):
        if a is None:
            raise OSError("seed() without a value is not available in the sandbox")
        sow(self, a, version)

    random.seed = seed
    random.Random.__init__ = __init__
    random.Random.seed = reseed
    for name, refuse in unseeded.items():
        setattr(random, name, refuse)
    random.SystemRandom = _refuse("random.SystemRandom")


def _only_with_a_time(name):
    """Without one it would be the clock's."""
    format_time = getattr(time, name)
    least = 2 if name == "strftime" else 1

    def of_a_time(*arguments):
        if len(arguments) < least:
            raise OSError(f"time.{name} without a time is not available in the sandbox")
        return format_time(*arguments)

    of_a_time.__name__ = of_a_time.__qualname__ = name
    setattr(time, name, of_a_time)


def _waiting():
    """There is one thread: whoever waits for another would wait for ever."""
    threading.Condition.wait = _refuse("Condition.wait", RuntimeError)
    queue.SimpleQueue = queue._PySimpleQueue
    queue.time = threading._time = time.monotonic


def install():
    """Called once, when the image is built."""
    for name in ("open", "input", "breakpoint"):
        setattr(builtins, name, _refuse(name))
    io.open = io.open_code = io.FileIO = _refuse("io.open")
    for name in _CLOCKS:
        if hasattr(time, name):
            setattr(time, name, _refuse(f"time.{name}"))
    for name in ("asctime", "ctime", "gmtime", "localtime", "strftime"):
        _only_with_a_time(name)
    _waiting()
    tokenize._builtin_open = _refuse("open")
    for name in _FILES:
        if hasattr(os, name):
            setattr(os, name, _refuse(f"os.{name}"))
    for name in ("uuid1", "uuid4", "uuid6", "uuid7", "getnode"):
        if hasattr(uuid, name):
            setattr(uuid, name, _refuse(f"uuid.{name}"))
    for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice", "SystemRandom"):
        setattr(secrets, name, _refuse(f"secrets.{name}"))
    _randomness()
    sys.stdin = sys.__stdin__ = _Input()
    warnings.simplefilter("ignore")  # A warning would look for the source's file.
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.meta_path[:] = [_NoMoreModules]
