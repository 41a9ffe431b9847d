/*
Package servertest runs the real binaries as an operator would (flags, signals,
redis-cli, a real Redis), for the tests of this module that need a whole server:
those of the root and of faults.

A test package that uses it has

	func TestMain(m *testing.M) { servertest.Main(m) }

which builds 10m-server and 10m-client once. All ports are the kernel's choice,
all processes are children that end with the test or, if the test dies, with it.
hangGuard ends what hangs, and is no expectation of speed.
*/
package servertest
