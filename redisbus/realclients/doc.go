/*
Package realclients holds the tests that run Redis clients which others wrote against
the embedded bus: redis-py, ioredis and node-redis, each with a scenario of its own, and
rueidis. go-redis is in the tests of package redisbus. There is nothing here but tests.

Each is played twice, at the bus and at a real Redis, through a line that is cut when the
scenario asks for it. What the bus refuses and Redis does not fails the test, also where
the client makes nothing of it.

scripts/install-test-deps installs Node, redis-py and, by package-lock.json, the rest.
*/
package realclients
