(component (core module $m (memory 1 3) (table 2 funcref) (func $f) (elem (i32.const 0) funcref (ref.func $f))
  (func (export "run") (param i32) (result i32) local.get 0))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
