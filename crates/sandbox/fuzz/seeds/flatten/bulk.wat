(component (core module $m (memory 1) (data $d "x")
  (func (export "run") (param i32) (result i32) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2)) (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (memory.grow (local.get 0))))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
