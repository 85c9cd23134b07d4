(component
    (core module $libc
        (memory (export "memory") 2)
        (global $base (export "base") i32 (i32.const 1024))
        (global $pointer (export "pointer") (mut i32) (i32.const 65536))
        (global (export "half") f64 (f64.const 0.5))
        (table (export "table") 8 funcref)
        (func $unused (result i32) i32.const 99)
        (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
        (func (export "double") (param i32) (result i32) local.get 0 call $double)
        (data (i32.const 16) "libc"))
    (core instance $libc (instantiate $libc))
    (core module $program
        (type $unary (func (param i32) (result i32)))
        (import "libc" "memory" (memory 2))
        (import "libc" "base" (global $base i32))
        (import "libc" "pointer" (global $pointer (mut i32)))
        (import "libc" "half" (global $half f64))
        (import "libc" "table" (table 8 funcref))
        (import "libc" "double" (func $double (type $unary)))
        (global $here i32 (i32.add (global.get $base) (i32.const 100)))
        (func $triple (type $unary) local.get 0 i32.const 3 i32.mul)
        (elem (i32.const 3) func $triple $double)
        (data (offset (global.get $here)) "program")
        (func (export "run") (param i32) (result i32)
            ;; The stack pointer is moved down for good; half of ten by way of a float.
            (global.set $pointer (i32.sub (global.get $pointer) (i32.const 16)))
            (i32.add
                (i32.add
                    (call_indirect (type $unary) (local.get 0) (i32.const 3))
                    (call_indirect (type $unary) (local.get 0) (i32.const 4)))
                (i32.add
                    (i32.load8_u (global.get $here))
                    (i32.trunc_f64_s (f64.mul (global.get $half) (f64.const 10)))))))
    (core instance $program (instantiate $program (with "libc" (instance $libc))))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $program "run"))))
