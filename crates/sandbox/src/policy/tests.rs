use super::*;

fn refused(source: &str, policy: Policy) -> String {
    check_program(source, policy).expect_err(source).to_string()
}

fn body(statement: &str) -> String {
    format!("def f(x):\n    {statement}\n    return x")
}

#[test]
fn ordinary_programs_are_standard() {
    for source in [
        "import math\nfrom collections import Counter, defaultdict as dd\nimport collections.abc\ndef f(x):\n    return math.sqrt(x) + Counter([x])[x]",
        "class A:\n    __slots__ = ('x',)\n    def __init__(self, x):\n        super().__init__()\n        self.x = x\n    def __eq__(self, other):\n        return self.x == other.x",
        "def f(x):\n    match x:\n        case {'a': [1, *_]}:\n            return 1\n        case int(real=r):\n            return r\n    return type(x).__name__",
        "def f(input, vars=3):\n    dir = input\n    return [_ for _ in range(dir)]",
        "def f(x):\n    return f'{x:>{3}}' + '{:.2f} {!r} {0} {{}}'.format(x, x)",
        "if __name__ == '__main__':\n    print(1)",
        "def f(x):\n    type A = int\n    return (y := x) ** 2",
        "",
    ] {
        assert_eq!(check_program(source, Policy::Standard), Ok(()), "{source}");
    }
}

#[test]
fn standard_refuses_with_a_position() {
    let rejection = check_program("import math\nimport os", Policy::Standard).expect_err("os");
    assert_eq!((rejection.line, rejection.column), (2, 8));
    assert!(rejection.message.contains("os"));
    let rejection = check_program("x = 'é'; eval(x)", Policy::Standard).expect_err("eval");
    assert_eq!((rejection.line, rejection.column), (1, 10));
}

#[test]
fn standard_refuses_other_modules() {
    for module in ["os", "sys", "random", "time", "numpy", "os.path", "types", "inspect", "gc"] {
        assert!(refused(&format!("import {module}"), Policy::Standard).contains(module));
        assert!(refused(&format!("from {module} import a"), Policy::Standard).contains(module));
    }
    assert!(refused("from enum import sys", Policy::Standard).contains("sys"));
    assert!(refused("import enum as e\ne.sys.modules", Policy::Standard).contains("sys"));
    assert!(refused("from . import a", Policy::Standard).contains("import"));
    for route in
        ["import collections.abc\ncollections.abc.sys", "import contextlib as c\nc.os", "import statistics\nstatistics.random.random()"]
    {
        assert!(refused(route, Policy::Standard).contains("another module's import"), "{route}");
    }
    assert_eq!(check_program("class A:\n    sys = 1\nA().sys", Policy::Standard), Ok(()));
}

#[test]
fn standard_refuses_what_evaluates_text_or_leaves_the_program() {
    for name in [
        "eval('1')",
        "exec('1')",
        "compile",
        "getattr(x, 'a')",
        "open('a')",
        "input()",
        "__import__('os')",
        "globals()",
        "vars(x)",
        "x = dir",
    ] {
        refused(&body(name), Policy::Standard);
    }
    refused("from operator import attrgetter", Policy::Standard);
    refused("import operator\noperator.methodcaller('a')", Policy::Standard);
    refused("def f(eval):\n    return eval('1')", Policy::Standard);
    refused("import math as eval", Policy::Standard);
}

#[test]
fn standard_refuses_routes_to_attributes() {
    for route in [
        "x.__class__",
        "x._private",
        "f.__globals__",
        "(y for y in x).gi_frame",
        "x.f_globals",
        "x.tb_frame",
        "f.func.co_consts",
        "int.mro()",
        "'{0.__class__}'.format(x)",
        "'{0[a]}'.format(x)",
        "'{:{0.a}}'.format(x)",
        "x.format(x)",
        "'{x}'.format_map(x)",
        "f'{x.__class__}'",
        "x.a.b.__dict__",
        "super().x._y",
    ] {
        refused(&body(route), Policy::Standard);
    }
    refused("match f:\n    case object(__globals__=g):\n        pass", Policy::Standard);
    refused("match f:\n    case object(gi_frame=g):\n        pass", Policy::Standard);
    refused("class A:\n    __match_args__ = ('a',)", Policy::Standard);
}

#[test]
fn standard_refuses_star_imports() {
    let rejection = check_program("from math import *", Policy::Standard).expect_err("star");
    assert_eq!((rejection.line, rejection.column), (1, 18));
    assert!(rejection.message.contains("math"), "{rejection}");
    assert_eq!(check_program("from math import sqrt, pi", Policy::Standard), Ok(()));
}

#[test]
fn standard_refuses_async() {
    for source in [
        "async def f(x):\n    return x",
        "def f(x):\n    return [y async for y in x]",
        "def f(x):\n    await x",
        "def f(x):\n    async for y in x:\n        pass",
        "def f(x):\n    async with x:\n        pass",
    ] {
        assert!(refused(source, Policy::Standard).contains("async"), "{source}");
    }
    assert_eq!(check_program("def f(x):\n    yield from x", Policy::Standard), Ok(()));
}

#[test]
fn standard_refuses_format_texts_that_are_not_in_view() {
    for source in [
        "match 'a':\n    case str(format=g):\n        g(1)",
        "from string import Formatter",
        "import string\nstring.Formatter()",
        "str.format('{0.real}', 1)",
    ] {
        assert!(refused(source, Policy::Standard).to_lowercase().contains("format"), "{source}");
    }
    assert_eq!(check_program("format(1.5, '.2f') + '%d' % 3 + '{:>{}}'.format(1, 5)", Policy::Standard), Ok(()));
}

#[test]
fn standard_lets_a_program_use_names_of_its_own() {
    for source in [
        "def process_input(x):\n    return x\nprocess_input(1)",
        "open = [1]\nopen.append(2)",
        "for _ in range(3):\n    _x = hasattr(_, 'real')",
    ] {
        assert_eq!(check_program(source, Policy::Standard), Ok(()), "{source}");
    }
}

#[test]
fn strict_has_neither_imports_nor_attributes() {
    assert_eq!(check_program("def f(x):\n    return sorted(x)[0]", Policy::Strict), Ok(()));
    assert!(refused("import math", Policy::Strict).contains("strict"));
    assert!(refused("def f(x):\n    return x.upper()", Policy::Strict).contains("line 2, column 14"));
    assert!(refused("match f:\n    case A(b=1):\n        pass", Policy::Strict).contains("strict"));
}

#[test]
fn open_takes_all_that_parses() {
    assert_eq!(check_program("import os\nos.__dict__\neval('1')", Policy::Open), Ok(()));
    let rejection = check_program("x = 1\ndef f(x) return x", Policy::Open).expect_err("syntax");
    assert_eq!(rejection.line, 2);
    assert!(rejection.message.starts_with("syntax error"));
}

#[test]
fn a_call_is_one_expression() {
    assert_eq!(check_call(" f(3, [1], a={'b': -2})", Policy::Standard), Ok(()));
    for call in ["f(3); f(4)", "import os", "", "f(", "x = 3", "f.__globals__", "eval('1')", "f(open('a'))"] {
        assert!(check_call(call, Policy::Standard).is_err(), "{call}");
    }
}

#[test]
fn a_call_is_refused_where_it_is_written() {
    let rejection = check_call("  \tf(eval)", Policy::Standard).expect_err("eval");
    assert_eq!((rejection.line, rejection.column), (1, 6));
    let rejection = check_call("  f(1 2)", Policy::Open).expect_err("syntax");
    assert_eq!((rejection.line, rejection.column), (1, 7));
}

#[test]
fn depth_is_bounded_before_anything_recurses() {
    let many = 100_000;
    for source in [
        "(".repeat(many),
        "[".repeat(many) + &"]".repeat(many),
        "-".repeat(many) + "1",
        "not ".repeat(many) + "1",
        "1".to_owned() + &"+1".repeat(many),
        "1".to_owned() + &"**1".repeat(many),
        "a".to_owned() + &".b".repeat(many),
        "f".to_owned() + &"()".repeat(many),
        "lambda: ".repeat(many) + "1",
        "lambda a, b: ".repeat(many) + "1",
        "1 if 2 else ".repeat(many) + "3",
        "f'{".repeat(many),
        "await ".repeat(many) + "x",
        "x[".repeat(many),
        "a if b else (".repeat(many),
        (0..2000).map(|level| " ".repeat(level) + "if 1:\n").collect::<String>(),
        "match 1:\n case ".to_owned() + &"[".repeat(many),
        "{1: ".repeat(many),
        "*".repeat(many),
        "yield ".repeat(many),
    ] {
        assert!(check_program(&source, Policy::Open).is_err(), "{}", &source[..40]);
    }
    let deep = format!("x = {}1{}", "(".repeat(190), ")".repeat(190));
    assert_eq!(check_program(&deep, Policy::Open), Ok(()));
    let rejection = check_program(&format!("y = 1\nx = {}1", "(".repeat(1200)), Policy::Open).expect_err("deep");
    assert_eq!((rejection.line, rejection.column), (2, 1004));
}

#[test]
fn long_is_not_deep() {
    let list = format!("x = [{}]", "(1, -2, f(3)), ".repeat(20_000));
    assert_eq!(check_program(&list, Policy::Standard), Ok(()));
    let lines = "x = 1 + 2 * (3 - 4)\n".repeat(20_000);
    assert_eq!(check_program(&lines, Policy::Standard), Ok(()));
    let branches = "if x:\n    pass\n".to_owned() + &"elif x == 2:\n    pass\n".repeat(5_000);
    assert_eq!(check_program(&branches, Policy::Standard), Ok(()));
}
