"""`begin`, `prepare` and `call`, and how an answer is spelled: one letter, then fields that open with their length (see wire.rs).

Everything that these functions use is bound here, as defaults or closure cells: a program that patches builtins, or the modules that it can
import, changes nothing for them. Types are compared exactly, so a subclass or an object that lies about itself is not a literal.
"""

import builtins
import datetime
import decimal
import fractions
import marshal
import struct
import sys
import types

NAMES_IN_CALLS = {
    "Fraction": fractions.Fraction,
    "Decimal": decimal.Decimal,
    "datetime": datetime,
}
"""Constructors in literals of tagged values: a call may use them although the program does not import them."""


class _TooMuchOutput(BaseException):
    """Printed more than the limit; raised at every further write."""


def _build(
    type=type, str=str, bytes=bytes, bytearray=bytearray, len=len, repr=repr, int=int, BaseException=BaseException, isinstance=isinstance,
    compile=compile, exec=exec, eval=eval, dict=dict, list=list, sys=sys, builtins=builtins, UnicodeError=UnicodeError,
    RecursionError=RecursionError, bool=bool, float=float, complex=complex, tuple=tuple, set=set, frozenset=frozenset, range=range,
    Fraction=fractions.Fraction, Decimal=decimal.Decimal, date=datetime.date, datetime=datetime.datetime, getattr=getattr,
    join=b"".join, encode=str.encode, decode=bytes.decode, pack=int.to_bytes, pack_float=struct.Struct("<d").pack,
    parts=dict.items, real=complex.real.__get__, imag=complex.imag.__get__, append=list.append, bits=int.bit_length,
    date_repr=datetime.date.isoformat, decimal_repr=decimal.Decimal.__str__, numerator=fractions.Fraction.numerator.fget,
    denominator=fractions.Fraction.denominator.fget, range_parts=(range.start.__get__, range.stop.__get__, range.step.__get__),
    default_context=decimal.DefaultContext.copy, set_context=decimal.setcontext, ValueError=ValueError, TypeError=TypeError,
    cut=str.__getitem__, loads=marshal.loads, FunctionType=types.FunctionType, names_in_calls=NAMES_IN_CALLS, TooMuch=_TooMuchOutput,
):  # fmt: skip
    """Functions that hold on to the pristine interpreter."""
    none_type = type(None)
    longest_int = 14_200  # Bits; 4,300 digits are 14,285. Beyond, Python itself has no literal for it.
    deepest = 100
    written = []
    budget = [0, False]  # Bytes that may still be written; whether more was.
    longest = [0]  # Fields of a result, two a value at most, beyond which its literal is too long in any case.
    room = [0, 0]  # The same for the bytes of its texts; and how many bytes the limit allows.

    class Output:
        """`sys.stdout` of a program."""

        encoding = "utf-8"
        errors = "backslashreplace"
        closed = False
        newlines = None

        def write(self, text):
            if type(text) is not str:
                if not isinstance(text, str):
                    raise TypeError(f"write() argument must be str, not {type(text).__name__}")
                text = str(text)
            data = encode(text, "utf-8", "backslashreplace")
            budget[0] -= len(data)
            if budget[0] < 0:
                budget[1] = True
                raise TooMuch
            append(written, data)
            return len(text)

        def writelines(self, lines):
            for line in lines:
                self.write(line)

        def flush(self):
            pass

        def isatty(self):
            return False

        def writable(self):
            return True

        def readable(self):
            return False

    class Nowhere(Output):
        """`sys.stderr`."""

        def write(self, text):
            return len(text)

    class NotLiteral(BaseException):
        pass

    class TooLong(BaseException):
        pass

    def take(length):
        room[0] -= length
        if room[0] < 0:
            raise TooLong

    def spell(value, out, depth):
        kind = type(value)
        if len(out) > longest[0]:
            raise TooLong
        if kind is int:
            if -2147483648 <= value <= 2147483647:
                append(out, b"i")
                append(out, pack(value, 4, "little", signed=True))
            elif bits(value) > longest_int:
                raise NotLiteral(f"an int of {bits(value)} bits")
            else:
                take(bits(value) // 8)
                data = pack(value, bits(value) // 8 + 1, "little", signed=True)
                append(out, b"I")
                append(out, pack(len(data), 4, "little"))
                append(out, data)
        elif kind is str:
            take(len(value))
            data = encode(value, "utf-8", "strict")
            append(out, b"s")
            append(out, pack(len(data), 4, "little"))
            append(out, data)
        elif kind is bool:
            append(out, b"T" if value else b"F")
        elif kind is none_type:
            append(out, b"N")
        elif kind is float:
            append(out, b"f")
            append(out, pack_float(value))
        elif kind is list or kind is tuple or kind is set or kind is frozenset:
            if depth == deepest:
                raise NotLiteral(f"nested more than {deepest} deep, or containing itself")
            append(out, b"l" if kind is list else b"t" if kind is tuple else b"S" if kind is set else b"Z")
            append(out, pack(len(value), 4, "little"))
            for item in value:
                spell(item, out, depth + 1)
        elif kind is dict:
            if depth == deepest:
                raise NotLiteral(f"nested more than {deepest} deep, or containing itself")
            append(out, b"d")
            append(out, pack(len(value), 4, "little"))
            for key, item in parts(value):
                spell(key, out, depth + 1)
                spell(item, out, depth + 1)
        elif kind is bytes:
            take(len(value))
            append(out, b"b")
            append(out, pack(len(value), 4, "little"))
            append(out, value)
        elif kind is complex:
            append(out, b"c")
            spell(real(value), out, depth + 1)
            spell(imag(value), out, depth + 1)
        elif kind is range:
            append(out, b"r")
            for part in range_parts:
                spell(part(value), out, depth + 1)
        elif kind is Fraction:
            append(out, b"q")
            spell(numerator(value), out, depth + 1)
            spell(denominator(value), out, depth + 1)
        elif kind is Decimal:
            append(out, b"D")
            spell(decimal_repr(value), out, depth + 1)
        elif kind is date:
            append(out, b"y")
            spell(date_repr(value), out, depth + 1)
        else:
            raise NotLiteral(f"a value of type {type_name(kind)}")

    def type_name(kind):
        name = type.__dict__["__name__"].__get__(kind)
        return name if type(name) is str else "?"

    def text(value):
        """An exception as `Name: message`; its own code may run here, and fail."""
        kind = type(value)
        name = type_name(kind)
        try:
            message = str(value)
            if type(message) is not str:
                message = str.__str__(message)
        except BaseException:
            message = "<its message cannot be read>"
        message = f"{name}: {message}" if len(message) else name
        if len(message) > 2000:
            message = cut(message, slice_2000) + "..."
        return encode(message, "utf-8", "backslashreplace")

    def field(data):
        return pack(len(data), 4, "little") + data

    # A call with literals has the frame that a compiled one has: what counts or names frames sees no difference.
    caller = (lambda function, arguments: function(*arguments)).__code__.replace(
        co_name="<module>", co_qualname="<module>", co_filename="<call>", co_firstlineno=1
    )
    output = Output()
    nowhere = Nowhere()
    prepared = [None]  # The namespace of the program.
    slice_2000 = slice(2000)

    def begin():
        """What every program finds; once, since each starts from the memory that holds it."""
        prepared[0] = None
        written.clear()
        budget[1] = False
        sys.stdout = sys.__stdout__ = output
        sys.stderr = sys.__stderr__ = nowhere
        set_context(default_context())

    def prepare(program, output_bytes):
        budget[0] = output_bytes
        longest[0] = 2 * output_bytes + 16
        room[0] = room[1] = output_bytes
        space = prepared[0] = {"__name__": "program", "__builtins__": builtins}
        try:
            exec(compile(decode(program, "utf-8"), "<program>", "exec", 0, True), space)
        except BaseException as error:
            return ended(b"e", text(error))
        return ended(b"k", b"")

    def call(expression, marshalled):
        """`marshalled`: name and arguments where the expression is a call with literals, else empty."""
        space = prepared[0]
        try:
            if marshalled:
                name, arguments = loads(marshalled)
                if name in space:
                    value = FunctionType(caller, space)(space[name], arguments)
                    return ended(*spelled(value))
            code = compile(decode(expression, "utf-8"), "<call>", "eval", 0, True)
            for name in code.co_names:
                if name in names_in_calls and name not in space:
                    space[name] = names_in_calls[name]
            value = eval(code, space)
        except BaseException as error:
            return ended(b"e", text(error))
        return ended(*spelled(value))

    def ended(how, rest):
        if budget[1]:
            how, rest = b"o", pack(room[1] - budget[0], 8, "little", signed=True)
        return how + field(join(written)) + rest

    def spelled(value):
        out = []
        try:
            spell(value, out, 0)
        except NotLiteral as error:
            return b"n", encode(str(error), "utf-8", "backslashreplace")
        except TooLong:
            return b"l", b""
        except UnicodeError:
            return b"n", b"a str with a lone surrogate"
        except BaseException as error:
            return b"e", text(error)
        return b"v", join(out)

    return begin, prepare, call


begin, prepare, call = _build()
