// Package redisbus is the way in for messages: an embedded RESP server, or a
// subscription at a real Redis.
package redisbus
