/*
Package servertest runs the real binaries as an operator would (flags, signals,
redis-cli, a real Redis), for the tests of this module that need a whole server:
those of the root, of faults and others.

A test package that uses it has

	func TestMain(m *testing.M) { servertest.Main(m) }

which builds 10m-server and 10m-client once. Ports are free ones below those that
the kernel gives to whoever connects (FreePort); all processes are children that end with
the test or, if the test dies, with it.
*/
package servertest
