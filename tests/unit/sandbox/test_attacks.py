"""One attack a row, on both ways of running. Each ends in an outcome of its own, and the next program is none the worse for it.

The policy is `open`: what is tested is the wall, not the fence in front of it. More attacks on limits, on the world outside and on results
that lie are in `test_limits`, `test_isolation` and `test_faults`.
"""

import pytest

from tina_azr.sandbox import Limits, OutcomeKind, Sandbox, StaticPolicy, Way

LIMITS = Limits(fuel=300_000_000, wall_ms=20_000, memory_bytes=96 << 20, output_bytes=10_000)
OK, EXCEPTION, FUEL, MEMORY = OutcomeKind.OK, OutcomeKind.EXCEPTION, OutcomeKind.FUEL, OutcomeKind.MEMORY
OUTPUT, CRASH, NOT_LITERAL = OutcomeKind.OUTPUT, OutcomeKind.CRASH, OutcomeKind.NOT_LITERAL
WILD = tuple(kind for kind in OutcomeKind if kind not in (OK, OutcomeKind.REJECTED))
"""Of code that reads memory beside its own: how it fails depends on what lies there, and each build of the image lays it anew."""

ATTACKS = {
    "a loop that catches everything": (
        "def f():\n while True:\n  try:\n   while True: pass\n  except BaseException: pass",
        "f()",
        FUEL,
    ),
    "finally that goes on": ("def f():\n while True:\n  try: 1/0\n  finally: continue", "f()", FUEL),
    "a generator that never ends": ("def g():\n while True: yield 1", "sum(g())", FUEL),
    "a generator that swallows its end": (
        "def g():\n while True:\n  try: yield 1\n  except GeneratorExit: pass\ndef f():\n x = g(); next(x); x.close()",
        "f()",
        EXCEPTION,
    ),
    "a finalizer that never ends": ("class A:\n def __del__(self):\n  while True: pass\ndef f():\n A()", "f()", FUEL),
    "a repr that never ends": ("class A(Exception):\n def __str__(self):\n  while True: pass\ndef f(): raise A", "f()", FUEL),
    "an error's text that raises": ("class A(Exception):\n def __str__(self): raise self\ndef f(): raise A", "f()", EXCEPTION),
    "a class whose name lies": (
        "class M(type):\n __name__ = 1\nclass A(Exception, metaclass=M): pass\ndef f(): raise A",
        "f()",
        EXCEPTION,
    ),
    "sys.exit": ("import sys", "sys.exit(3)", EXCEPTION),
    "os._exit": ("import os", "os._exit(0)", EXCEPTION),
    "os.abort": ("import os", "os.abort()", EXCEPTION),
    "posix._exit": ("import posix", "posix._exit(0)", CRASH),
    "posix.abort": ("import posix", "posix.abort()", CRASH),
    "faulthandler": ("import faulthandler", "faulthandler._sigsegv()", EXCEPTION),
    "a signal to itself": ("import signal, os", "signal.raise_signal(9)", CRASH),
    "a thread": ("import threading", "threading.Thread(target=print).start()", EXCEPTION),
    "a low-level thread": ("import _thread", "_thread.start_new_thread(print, ())", EXCEPTION),
    "a process": ("import subprocess", "subprocess.run(['true'])", EXCEPTION),
    "a socket": ("import socket", "socket.socket()", EXCEPTION),
    "ctypes": ("import ctypes", "ctypes.string_at(0)", EXCEPTION),
    "a nap": ("import time", "time.sleep(1000)", EXCEPTION),
    "memory in small steps": ("def f():\n x = []\n while True: x.append(bytes(1000))", "f()", MEMORY),
    "memory in large steps": ("def f():\n x = []\n while True: x.append(bytes(10**7))", "f()", MEMORY),
    "memory by a shift": ("", "1 << (1 << 30)", MEMORY),
    "memory by a join": ("", "''.join('a' * 10**7 for _ in range(100))", MEMORY),
    "a MemoryError that is swallowed": (
        "def f():\n x = []\n while True:\n  try: x.append(bytes(10**8))\n  except MemoryError: pass",
        "f()",
        MEMORY,
    ),
    "a number with too many digits": ("", "str(10**5000)", EXCEPTION),
    "as many digits as there may be": ("import sys\nsys.set_int_max_str_digits(0)", "len(str(10**5000))", OK),
    "a million prints": ("def f():\n for i in range(10**6): print(i)", "f()", OUTPUT),
    "prints that replace print": (
        "import builtins, sys\nbuiltins.print = sys.stdout.write",
        "[print('a' * 99) for _ in range(999)]",
        OUTPUT,
    ),
    "a stdout of its own": ("import sys\nclass A:\n def write(self, text): raise 1\nsys.stdout = A()", "print('a')", EXCEPTION),
    "recursion without a limit": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)", "f(0)", FUEL),
    "recursion through C": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return sorted([1, 2], key=lambda _: f())",
        "f()",
        EXCEPTION,
    ),
    "a repr that calls itself": ("class A:\n def __repr__(self): return repr(self)", "repr(A())", EXCEPTION),
    "an endless attribute": ("class A:\n def __getattr__(self, name): return getattr(self, name + 'a')", "A().a", EXCEPTION),
    "code out of nothing": ("def f(): pass\nf.__code__ = f.__code__.replace(co_code=b'\\xff' * 64, co_stacksize=1)", "f()", WILD),
    "constants that are not there": (
        "def f(): return 1\nf.__code__ = f.__code__.replace(co_code=bytes([82, 255] * 8), co_consts=())",
        "f()",
        WILD,
    ),
    "code from garbage": ("import marshal", "marshal.loads(b'\\xe3' + b'\\xff' * 64)", EXCEPTION),
    "a pickle that calls": ("import pickle", "pickle.loads(b'cos\\nsystem\\n(S\"true\"\\ntR.')", EXCEPTION),
    "a pickle that asks for memory": (
        "import pickle",
        "pickle.loads(b'\\x80\\x04\\x8e\\x00\\x00\\x00\\x40\\x00\\x00\\x00\\x00.')",
        EXCEPTION,
    ),
    "a bomb of zip": ("import zlib\ndef f():\n x = zlib.compress(bytes(10**7))\n return len(zlib.decompress(x) * 20)", "f()", FUEL),
    "a profile of the machinery": ("import sys\nsys.setprofile(lambda *a: 1/0)", "len('a')", EXCEPTION),
    "a trace of the machinery": ("import sys\nsys.settrace(lambda *a: 1/0)", "len('a')", CRASH),
    "a codec of its own": ("import codecs\ncodecs.register(lambda name: 1/0)", "b'a'.decode('nothing')", EXCEPTION),
    "an end that is heard of": ("import atexit\natexit.register(lambda: 1/0)", "1", OK),
    "len that lies": ("import builtins\nbuiltins.len = lambda _: 0", "[1, 2]", OK),
    "a module that is gone": ("import sys\nsys.modules.clear()", "1", OK),
    "builtins that are gone": ("import builtins\nnames = vars(builtins)\nfor n in list(names): del names[n]", "1", OK),
    # The host has the functions themselves: it looks no name up that a program could change.
    "our own functions": ("import sys\nanswer = sys.modules['answer']\nanswer.call = answer.prepare = None", "1", OK),
    "our own frames": (
        "import sys\ndef f():\n x = sys._getframe()\n while x.f_back: x = x.f_back\n x.f_globals.clear()",
        "f()",
        OK,
    ),
    "our own memory": (
        "import gc\nfor thing in gc.get_objects():\n try:\n  thing.clear()\n except BaseException: pass",
        "1",
        OK,
    ),
    "types that are changed": (
        "import gc\nobj = gc.get_referents(int.__dict__)[0]\nobj['__repr__'] = 1\nobj['bit_length'] = 2",
        "7",
        OK,
    ),
    "a NUL in a name": ("globals()['a\\0b'] = 1", "sorted(n for n in globals() if 'a' in n)[:1]", OK),
    "a key that lies": (
        "class A(str):\n def __hash__(self): return 1\n def __eq__(self, other): return True",
        "{A('a'): 1}",
        NOT_LITERAL,
    ),
    "a list that holds itself": ("a = []\na.append(a)", "a", NOT_LITERAL),
    "a dictionary that grows while it is read": (
        "class A(dict):\n def items(self):\n  self[len(self)] = 1\n  return super().items()",
        "A()",
        NOT_LITERAL,
    ),
}
AFTERWARDS = (
    "def f(n):\n    print('here', len('abc'))\n    return sorted({str(i): i for i in range(n)}.items()), repr(10**20)",
    "f(3)",
)
EXPECTED = "([('0', 0), ('1', 1), ('2', 2)], '100000000000000000000')"


@pytest.fixture(scope="module", params=list(Way))
def tight(request: pytest.FixtureRequest) -> Sandbox:
    return Sandbox(limits=LIMITS, policy=StaticPolicy.OPEN, way=request.param, verify_every=1, workers=1)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_with_itself(tight: Sandbox, name: str) -> None:
    program, call, kind = ATTACKS[name]
    attack, after = tight.run_many([(program, call), AFTERWARDS])
    assert attack.kind in (kind if isinstance(kind, tuple) else (kind,)), attack
    assert (after.value, after.stdout) == (EXPECTED, "here 3\n")


HIDE = """
import builtins, collections, decimal, functools, gc, json, math, re, string, sys, threading, types
mark = "".join(["left ", "by the ", "last program"])
module = types.ModuleType(mark)
sys.modules[mark] = module
for place in (builtins, json, math, re, string, sys, collections, decimal):
    setattr(place, mark.replace(" ", "_"), mark)
sys.path.append(mark)
sys.intern(mark)
cached = functools.lru_cache(lambda text: text + mark)
cached(mark)
re.compile(mark)
local = threading.local()
local.mark = mark
class Stays:
    def __del__(self):
        kept.append(self)
kept = [Stays(), mark.encode(), mark * 1000]
cycle = [mark]
cycle.append(cycle)
gc.disable()
"""
SEEK = """
import gc, sys
def f(parts):
    mark = "".join(parts)
    found = [name for name in sys.modules if mark in name] + [entry for entry in sys.path if mark in entry]
    own = {id(parts), id(mark)}
    for thing in [*gc.get_objects(), *(vars(m) for m in list(sys.modules.values()) if hasattr(m, '__dict__'))]:
        for inner in gc.get_referents(thing):
            text = inner.decode("latin-1") if type(inner) is bytes else inner
            if type(text) is str and (mark in text or mark.replace(" ", "_") in text) and id(inner) not in own:
                found.append(text[:50])
    return gc.isenabled(), sorted(found)
"""
PARTS = "f(['left ', 'by the ', 'last program'])"


def test_a_walk_finds_what_the_program_itself_has_left(tight: Sandbox) -> None:
    outcome = tight.run(HIDE + SEEK, PARTS)
    assert str(outcome.value).count("left by the last program") > 8, outcome


def test_a_walk_finds_nothing_that_the_last_program_has_left(tight: Sandbox) -> None:
    outcomes = tight.run_many([(HIDE, "len(kept)"), (SEEK, PARTS)] * 5)
    assert [outcome.value for outcome in outcomes] == ["3", "(True, [])"] * 5, outcomes
