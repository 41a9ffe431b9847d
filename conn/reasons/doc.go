/*
Package reasons is why connections end: one table of reasons, what a client is told for
each, and what is kept of ends for those who look. It knows no session.

	reasons.go   the table: a name for the metrics, a status or a close code, a sentence
	words.go     the HTTP answers made of it, and which reason a fault or a token's error is
	refusals.go  requests that were refused, on their way from the loops to the log
	recent.go    the last closes of a loop

Every connection ends with exactly one reason, and each reason has a name, a counter and,
where its client can hear something, one way to be told: a status before a connection is
open, a close code afterwards (TestEveryReasonIsWhole).

A Ring and a Recent are a loop's own. Taking refusals out of the rings is for one goroutine,
beside the loops: a ring has one writer and one reader, and takes neither lock nor memory.
*/
package reasons
