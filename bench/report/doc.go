// Package report is what a run of the load client says: the Result, and its
// forms as text, JSON and a page with plots.
package report
