// Tables prints the tables of figures from what the runs said, and nothing else: run by
// scripts/tables.
//
//	scripts/tables                     # all of bench/results
//	scripts/tables sends-18000 million # some
//
// A row is a figure of one measurement of scripts/results: its median, its worst, over
// how many rounds or runs, and the commit of each run with its day. Runs are those of
// bench/results and of bench/results/run2, run3 and so on, which scripts/results makes
// with RUNS=3. A row whose runs are of several commits names them all, and a row of
// fewer than three says so: README.md and bench/RESULTS.md quote rows of one release.
package main
