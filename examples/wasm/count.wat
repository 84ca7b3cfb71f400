;; The source of count.wasm, which was assembled by hand: the bytes stand beside each line.
(module                                            ;; 00 61 73 6d  01 00 00 00
  (type (func (param i32) (result i32)))           ;; 01 06 01  60 01 7f 01 7f
  (import "env" "memory" (memory 1 1 shared))      ;; 02 10 01  03 65 6e 76  06 6d 65 6d 6f 72 79  02 03 01 01
                                                   ;; 03 02 01 00
                                                   ;; 07 09 01  05 63 6f 75 6e 74  00 00
                                                   ;; 0a 1b 01  19
  (func (export "count") (param $token i32) (result i32)
    (local $turns i32)                             ;; 01 01 7f
    (loop $again                                   ;; 03 40
      (local.set $turns                            ;;   20 01 41 01 6a 21 01
        (i32.add (local.get $turns) (i32.const 1)))
      ;; Atomic: with a plain i32.load this loop never ends on JavaScriptCore.
      (br_if $again                                ;;   20 00  fe 10 02 00  45  0d 00
        (i32.eqz (i32.atomic.load (local.get $token))))
    )                                              ;; 0b
    (local.get $turns)))                           ;; 20 01 0b
