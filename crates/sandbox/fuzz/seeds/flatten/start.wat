(component (core module $m (memory 1) (func $s) (start $s) (func (export "run") (param i32) (result i32) local.get 0))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
