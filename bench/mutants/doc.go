// Mutants proves that named tests catch each of the realistic bugs kept in
// scripts/mutants.d: run by scripts/mutants, and so by make mutants.
//
// A mutant is a patch with three lines of context, as git diff prints it, below
// one or more lines that name a package and the tests of it that must fail:
//
//	Caught by: ./conn TestExchangesAtEverySplit
//	Caught by: ./poller TestTurns panics "BUG: a letter of nobody"
//
// Line numbers mean nothing here: what a hunk takes away, context included, must
// be found at exactly one place of its file.
//
// First the named tests run on the copy as it is, once per package, and must pass:
// a test that fails there catches nothing, nor does one that is skipped. Then
// each mutant is applied to a clean copy by itself. It is caught if each named
// test says "--- FAIL", or the program panics with the text that the header says.
// A build that fails, a time-out, and another panic catch nothing, and are reported
// apart. The copy is put back from its index afterwards, and looked at: a copy
// that is not clean ends the run.
//
// Copies lie under the system's temporary directory in a place that is always the
// same for one tree, so that Go's build cache knows them.
package main
