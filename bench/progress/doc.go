// Progress runs go test, says what is under way, and sums up: run by scripts/tests, and
// so by make test.
//
// What go test prints of a package that passes is one line ("ok", package, time), and
// these lines are on standard output as go test has them, as is all that a failed
// test said. Beside them, on standard error: at the start how many packages there
// are and how long they took the last time; with each package how many are done, after
// what time; in the end each test that was skipped with its reason, and the slowest
// packages and tests. With -v among the arguments all that tests say is printed.
package main
