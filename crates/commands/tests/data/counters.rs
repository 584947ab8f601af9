//! INCR and its kin.

use super::script;

#[test]
fn integers_are_counted_up_and_down() {
    script(
        r#"
        incr k => 1
        incr k => 2
        decr k => 1
        incrby k 10 => 11
        decrby k 20 => -9
        get k => "-9"
        object encoding k => "int"
        set k 5 ex 100 => OK
        incr k => 6
        ttl k => 100
        decr new => -1
        "#,
    );
}

#[test]
fn a_sum_that_does_not_fit_changes_nothing() {
    script(
        r#"
        set k 9223372036854775807 => OK
        incr k => (ERR increment or decrement would overflow)
        get k => "9223372036854775807"
        set k -9223372036854775808 => OK
        decr k => (ERR increment or decrement would overflow)
        decrby k -9223372036854775808 => (ERR decrement would overflow)
        incrby k 9223372036854775807 => -1
        "#,
    );
}

#[test]
fn only_canonical_integers_are_counted() {
    script(
        r#"
        set k 007 => OK
        incr k => (ERR value is not an integer or out of range)
        set k v => OK
        decr k => (ERR value is not an integer or out of range)
        set k 1 => OK
        incrby k +1 => (ERR value is not an integer or out of range)
        incrby k 1.0 => (ERR value is not an integer or out of range)
        incrby k '' => (ERR value is not an integer or out of range)
        "#,
    );
}

#[test]
fn decimal_numbers_are_added_without_the_errors_of_doubles() {
    script(
        r#"
        set k 0.1 => OK
        incrbyfloat k 0.2 => "0.3"
        set k 10.50 => OK
        incrbyfloat k 0.1 => "10.6"
        incrbyfloat k -5 => "5.6"
        set k 5.0e3 => OK
        incrbyfloat k 2.0e2 => "5200"
        incr k => 5201
        incrbyfloat k 1 => "5202"
        object encoding k => "embstr"
        incrbyfloat new 3.0e3 => "3000"
        set k 1 ex 100 => OK
        incrbyfloat k 1.5 => "2.5"
        ttl k => 100
        "#,
    );
}

#[test]
fn what_is_no_finite_number_is_refused() {
    script(
        r#"
        set k v => OK
        incrbyfloat k 1 => (ERR value is not a valid float)
        incrbyfloat n x => (ERR value is not a valid float)
        incrbyfloat n nan => (ERR value is not a valid float)
        incrbyfloat n inf => (ERR increment would produce NaN or Infinity)
        set n 1e4932 => OK
        incrbyfloat n 1e4932 => (ERR increment would produce NaN or Infinity)
        get n => "1e4932"
        "#,
    );
}
