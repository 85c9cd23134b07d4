(component (core module $m (memory 1) (global $a (mut i32) (i32.const 1))
  (func (export "run") (param i32) (result i32) (global.set $a (local.get 0)) (global.get $a)))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
