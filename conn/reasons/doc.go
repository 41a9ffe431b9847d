// Package reasons is why connections end: the table (reasons.go), the HTTP answers made of
// it (words.go), and what is kept of ends for those who look (refusals.go, recent.go). It
// knows no session.
//
// Every connection ends with exactly one reason, and each has a name, a counter and, where
// its client can hear something, one way to be told: a status before a connection is open,
// a close code afterwards (TestEveryReasonIsWhole).
package reasons
