//! What `standard` allows and refuses by name. `docs/sandbox.md` says why.

/// Modules of the standard library whose results depend on arguments alone, or that fail in the guest where they do not.
pub(super) const MODULES: &[&str] = &[
    "__future__",
    "abc",
    "array",
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "colorsys",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "itertools",
    "json",
    "keyword",
    "math",
    "numbers",
    "operator",
    "pprint",
    "queue",
    "re",
    "reprlib",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "typing",
    "unicodedata",
    "zlib",
];

/// Refused wherever they occur: they evaluate text, or reach attributes whose names the check cannot see.
pub(super) const NAMES: &[&str] = &[
    "attrgetter",
    "breakpoint",
    "compile",
    "delattr",
    "eval",
    "exec",
    "get_type_hints",
    "getattr",
    "globals",
    "locals",
    "methodcaller",
    "setattr",
];

/// Builtins that are refused unless the program gives the name a meaning of its own, as in `def f(input)`.
pub(super) const BUILTINS: &[&str] =
    &["copyright", "credits", "dir", "exit", "help", "input", "license", "memoryview", "open", "quit", "vars"];

/// Attributes that lead to frames, code and namespaces, or evaluate text.
pub(super) const ATTRIBUTES: &[&str] = &[
    "Formatter",
    "attrgetter",
    "evaluate_forward_ref",
    "f_back",
    "f_builtins",
    "f_code",
    "f_generator",
    "f_globals",
    "f_lasti",
    "f_lineno",
    "f_locals",
    "f_trace",
    "format_map",
    "get_field",
    "get_type_hints",
    "methodcaller",
    "mro",
    "vformat",
    "with_traceback",
];

/// Beginnings of attribute names of generators, coroutines, code and tracebacks.
pub(super) const ATTRIBUTE_PREFIXES: &[&str] = &["ag_", "co_", "cr_", "gi_", "tb_"];

/// Modules that allowed modules have imported for themselves: `enum.sys` is no way to `sys`.
pub(super) const INNER_MODULES: &[&str] = &[
    "annotationlib",
    "bltns",
    "builtins",
    "codecs",
    "copyreg",
    "importlib",
    "inspect",
    "io",
    "linecache",
    "os",
    "random",
    "sys",
    "threading",
    "time",
    "tokenize",
    "types",
    "warnings",
    "weakref",
];

/// Underscore attributes that say nothing about the interpreter.
pub(super) const DUNDERS: &[&str] = &["__doc__", "__name__", "__qualname__"];

/// Underscore names that a program may read or bind.
pub(super) const DUNDER_NAMES: &[&str] = &["__debug__", "__name__", "__slots__"];
